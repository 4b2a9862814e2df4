# SPDX-License-Identifier: MIT
"""Find another name of files that a tree holds open or mapped while the name they had is gone.

sem_open() makes such a file each time: it is opened by a temporary name, linked, and unlinked.
"""

from __future__ import annotations

import itertools
import os
import re
import stat
from collections.abc import Iterable, Iterator
from typing import NamedTuple

DELETED = " (deleted)"
_MOST_LOOKED_AT = 100_000  # directory entries, of all directories together
_LOW = 0xFFFFFFFF
_NO_NAME = ("/memfd:", "/SYSV", "/dev/zero", "/anon_hugepage")
_MAPPED = re.compile(
    rb"[0-9a-f]+-[0-9a-f]+ \S+ [0-9a-f]+ ([0-9a-f]+):([0-9a-f]+) ([0-9]+) +(/.*) \(deleted\)\n"
)


class Gone(NamedTuple):
    """A file whose opened name, `path`, is gone; mount is fdinfo's, -1 where it is only mapped."""

    pid: int
    path: str
    device: int
    inode: int
    mount: int


class OtherName(NamedTuple):
    """Another name of a file, seen through this mount."""

    mount: int
    device: int
    inode: int
    path: str

    @property
    def still_leads_there(self) -> bool:
        try:
            found = os.lstat(self.path)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (self.device, self.inode)


def opened(links: Iterable[tuple[int, int, str]]) -> Iterator[Gone]:
    """Those open files whose name is gone while the file itself has one."""
    for pid, fd, to in links:
        if not to.endswith(DELETED) or _is_nameless(to) or os.path.lexists(to):
            continue
        try:
            found = os.stat(f"/proc/{pid}/fd/{fd}")
            mount = _mount(f"/proc/{pid}/fdinfo/{fd}")
        except (OSError, ProcessLookupError):  # closed meanwhile
            continue
        if found.st_nlink and not stat.S_ISDIR(found.st_mode):
            yield Gone(pid, to[: -len(DELETED)], found.st_dev, found.st_ino, mount)


def mapped(pid: int, lines: Iterable[bytes]) -> Iterator[Gone]:
    """Those of /proc/PID/maps whose name is gone; whether they have another is not told there."""
    for row in dict.fromkeys(lines):
        found = _MAPPED.fullmatch(row)
        path = os.fsdecode(found.group(4)) if found is not None else ""
        if found is not None and not _is_nameless(path):
            device = os.makedev(int(found.group(1), 16), int(found.group(2), 16))
            yield Gone(pid, path.replace("\\012", "\n"), device, int(found.group(3)), -1)


def find(gone: Iterable[Gone], links: Iterable[tuple[int, int, str]] = ()) -> tuple[OtherName, ...]:
    """Another name of each that has one: beside the name that is gone, or among the links' names.

    One for each mount that the file is held through.  Files that have none are left out.
    """
    mounts: dict[tuple[int, int], set[int]] = {}
    places: dict[str, set[tuple[int, int]]] = {}
    for each in gone:
        key = (each.device, each.inode)
        mounts.setdefault(key, set()).add(each.mount)
        places.setdefault(os.path.dirname(each.path), set()).add(key)
    names = dict(_beside(places))
    if not mounts.keys() <= names.keys():
        known = {to for _, _, to in links if to.startswith("/") and not to.endswith(DELETED)}
        names = {**dict(_leading_to(known, mounts.keys() - names.keys())), **names}
    return tuple(
        OtherName(mount, *key, path)
        for key, (path, own_mount) in names.items()
        for mount in {each if each >= 0 else own_mount for each in mounts[key]}
    )


def path_of_socket(path: str, inode: int) -> str:
    """The path that a socket bound to `path` has been given since; "" when none is found.

    It is looked for in the same directory, or in one that this was renamed to.  inode: its low 32
    bits, which is what the kernel tells of a socket, with a device that on btrfs is not stat(2)'s.
    """
    for candidate in itertools.islice(_candidates(path), _MOST_LOOKED_AT):
        try:
            found = os.lstat(candidate)
        except OSError:
            continue
        if stat.S_ISSOCK(found.st_mode) and found.st_ino & _LOW == inode:
            return candidate
    return ""


def _candidates(path: str) -> Iterator[str]:
    above, below = os.path.split(path)
    if os.path.isdir(above):
        yield from (entry.path for entry in _entries(above))
        return
    while above != "/" and not os.path.isdir(above):
        above, renamed = os.path.split(above)
        inside, below = below, os.path.join(renamed, below)
    yield from (os.path.join(entry.path, inside) for entry in _entries(above))


def _entries(directory: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            yield from entries
    except OSError:  # it is gone, or closed to its user
        return


_Found = tuple[tuple[int, int], tuple[str, int]]  # (device, inode), (path, mount)


def _beside(places: dict[str, set[tuple[int, int]]]) -> Iterator[_Found]:
    left = _MOST_LOOKED_AT
    for directory, keys in places.items():
        inodes = {inode for _, inode in keys}
        for entry in _entries(directory):
            left -= 1
            if left < 0:
                return
            if entry.inode() in inodes:
                yield from _leading_to([entry.path], keys)


def _leading_to(paths: Iterable[str], keys: set[tuple[int, int]]) -> Iterator[_Found]:
    for path in paths:
        try:
            fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            found = os.fstat(fd)
            if (found.st_dev, found.st_ino) in keys:
                yield (found.st_dev, found.st_ino), (path, _mount(f"/proc/self/fdinfo/{fd}"))
        finally:
            os.close(fd)


def _mount(fdinfo: str) -> int:
    with open(fdinfo) as file:
        return next((int(line.split()[1]) for line in file if line.startswith("mnt_id:")), -1)


def _is_nameless(path: str) -> bool:
    """Whether it is a file of the kernel's own, behind one slash or in /dev, that has no name."""
    return path.startswith(_NO_NAME) or path.count("/") == 1
