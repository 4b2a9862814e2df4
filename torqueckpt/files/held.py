# SPDX-License-Identifier: MIT
"""List the files that a tree of processes holds: open, mapped, worked in, listened at."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from typing import NamedTuple

from torqueckpt.files.temporary import Temporary
from torqueckpt.manifest import OpenFile
from torqueckpt.process import proc, sockets
from torqueckpt.process.other_names import DELETED, OtherName

_NO_FILES = ("pipe:", "anon_inode:", "/memfd:")
_SOCKET = re.compile(r"socket:\[([0-9]+)\]")


class Held(NamedTuple):
    """The regular files that a tree has open or mapped shared, and what it has in temporary places.

    mapped: files there that are mapped in any other way, programs among them; others: directories,
    pipes, deleted files and bound sockets there.
    """

    open: tuple[OpenFile, ...]
    mapped: frozenset[str]
    others: frozenset[str]


def of_tree(
    members: list[proc.Stat], temporary: Temporary, other_names: tuple[OtherName, ...] = ()
) -> Held:
    """List it all; exact while the tree stands still.

    A file whose opened name is gone has its other name, where that is known.
    """
    looking = _Looking(temporary, other_names)
    found = tuple(file for each in members for file in looking.at(each.pid))
    if looking.sockets:
        names = (each.name for each in sockets.unix().values() if each.inode in looking.sockets)
        looking.others |= {os.path.normpath(name) for name in names if temporary.holds(name)}
    return Held(found, frozenset(looking.mapped), frozenset(looking.others))


class _Looking:
    def __init__(self, temporary: Temporary, other_names: tuple[OtherName, ...]) -> None:
        self._temporary = temporary
        self._names = {(each.device, each.inode): each.path for each in other_names}
        self.mapped: set[str] = set()
        self.others: set[str] = set()
        self.sockets: set[str] = set()

    def at(self, pid: int) -> Iterator[OpenFile]:
        """Its open files; the rest is put where it belongs."""
        maps = proc.maps(pid)
        shared = proc.shared_maps(maps, self._names)
        yield from (OpenFile(pid, -1, path, 0, 0, os.O_RDWR, 0, 0, True, False) for path in shared)
        for path in proc.maps_below(maps, self._temporary.tops) - shared:
            self._note(path, self.mapped)
        self._note(proc.cwd(pid), self.others)
        for fd in proc.descriptors(pid):
            link = f"/proc/{pid}/fd/{fd}"
            try:
                path = os.readlink(link)
                if path.startswith(_NO_FILES):  # told without asking more: the job stands still
                    continue
                if found := _SOCKET.fullmatch(path):
                    self.sockets.add(found.group(1))
                    continue
                status = os.stat(link)
                if not stat.S_ISREG(status.st_mode) or status.st_nlink == 0:
                    self._note(path, self.others)
                if not stat.S_ISREG(status.st_mode):
                    continue
                offset, flags = proc.offset_and_flags(pid, fd)
            except FileNotFoundError:  # closed by a checkpointer that works within the process
                continue
            path = self._names.get((status.st_dev, status.st_ino), path)
            yield OpenFile(
                *(pid, fd, path, status.st_dev, status.st_ino, flags, offset),
                *(status.st_size, path in shared, status.st_nlink == 0),
            )

    def _note(self, path: str, where: set[str]) -> None:
        """Of what is deleted the directory counts, where CRIU makes it again for a moment."""
        if self._temporary.holds(path):
            (self.others if path.endswith(DELETED) else where).add(path.removesuffix(DELETED))
