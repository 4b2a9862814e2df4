# SPDX-License-Identifier: MIT
"""Find the paths of what a job watches with inotify: CRIU without rights saves a watch by its path.

The kernel tells inodes alone, and CRIU would look for their paths while the job stands still: here
it is done before, and CRIU reads what was found from a cache of its own (irmap, criu's irmap.c).
"""

from __future__ import annotations

import os
import re
import struct
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path

from torqueckpt.checkpointers.criu.wire import encoded
from torqueckpt.findings import REFUSED, Finding
from torqueckpt.process import proc
from torqueckpt.process.resources import Holdings, finding

INOTIFY = "anon_inode:inotify"
CACHE = "irmap-cache"  # in criu's working directory
_MAGIC = struct.pack("<II", 0x55105940, 0x57004059)  # IMG_SERVICE_MAGIC, IRMAP_CACHE_MAGIC
_WATCH = re.compile(r"^inotify wd:\S+ ino:([0-9a-f]+) sdev:([0-9a-f]+)", re.MULTILINE)
_MINOR_BITS = 20  # of the kernel's own numbers of devices
_SECONDS = 1.0
# Where else programs watch, behind the directories that the job works in.
_USUAL = ("/etc", "/tmp", "/var/tmp", "/dev/shm", "/var/log", "/usr/share")

Inode = tuple[int, int]  # the kernel's number of its device, and its own
Found = dict[Inode, str]


def paths(held: Holdings) -> Found:
    """The paths of what a tree watches, as far as they are found within a second."""
    wanted = {inode for _, _, inode in _watched(held)}
    return dict(_search(wanted, held)) if wanted else {}


def findings(held: Holdings, found: Mapping[Inode, str], felt: bool = False) -> Iterator[Finding]:
    """A refusal for each process that watches something whose path was not found.

    felt: a dump ends calls that wait (felt.py), of which tail dies.
    """
    refused = {pid: inode[1] for pid, _, inode in _watched(held) if inode not in found}
    for pid, _, to in held.links:
        process = held.tree[pid]
        if felt and to == INOTIFY and process.name == "tail":
            what = "a dump would end its wait, and it would end itself then"
            remedy = "start it as `tail ---disable-inotify -f FILE`"
            yield finding(REFUSED, process, "inotify", what, remedy)
        elif to == INOTIFY and pid in refused:
            what = f"it watches inode {refused.pop(pid)}, and what path that has was not found"
            remedy = "have it watch files below its working directory"
            yield finding(REFUSED, process, "inotify", what, remedy)


def cache(found: Mapping[Inode, str]) -> bytes:
    """What criu reads of its file CACHE: entries of (device, inode, path)."""
    entries = (
        encoded((1, 0, device)) + encoded((2, 0, number)) + encoded((3, 2, os.fsencode(path)))
        for (device, number), path in found.items()
    )
    return _MAGIC + b"".join(struct.pack("<I", len(each)) + each for each in entries)


def _watched(held: Holdings) -> Iterator[tuple[int, int, Inode]]:
    for pid, fd, to in held.links:
        if to == INOTIFY:
            with suppress(OSError):  # closed by now
                text = Path(f"/proc/{pid}/fdinfo/{fd}").read_text()
                for number, device in _WATCH.findall(text):
                    yield pid, fd, (int(device, 16), int(number, 16))


def _search(wanted: set[Inode], held: Holdings) -> Iterator[tuple[Inode, str]]:
    """Look at what the job has open first, then below its directories, then where others watch."""
    left, until = set(wanted), time.monotonic() + _SECONDS
    opened = [to for _, _, to in held.links if to.startswith("/") and not to.endswith(" (deleted)")]
    working = [proc.cwd(pid) for pid in held.tree]
    near = dict.fromkeys([*working, *map(os.path.dirname, opened)])
    numbers = {number for _, number in wanted}
    below = (path for path, number in _walk([*near, *_USUAL], until) if number in numbers)
    for path in chain(opened, near, _USUAL, below):
        with suppress(OSError):
            inode = _inode(path)
            if inode in left:
                left.remove(inode)
                yield inode, path
        if not left:
            return


def _walk(tops: Iterable[str], until: float) -> Iterator[tuple[str, int]]:
    """All that lies in directories, with its inode's number, then what lies in theirs.

    Links are not followed; `until` is a time of the monotonic clock.
    """
    known, queue = set(), deque(tops)
    while queue:
        directory = queue.popleft()
        if not directory or directory in known:
            continue
        known.add(directory)
        with suppress(OSError), os.scandir(directory) as entries:
            for entry in entries:
                if time.monotonic() > until:
                    return
                yield entry.path, entry.inode()
                if entry.is_dir(follow_symlinks=False):
                    queue.append(entry.path)


def _inode(path: str) -> Inode:
    status = os.lstat(path)
    device = os.major(status.st_dev) << _MINOR_BITS | os.minor(status.st_dev)
    return device, status.st_ino
