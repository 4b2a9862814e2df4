# SPDX-License-Identifier: MIT
"""Lock directories of the store, tell its file system's errors in plain words, measure its room."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from torqueckpt import layout
from torqueckpt.errors import Busy, RecordTorn, StoreFull, StoreNotWritable
from torqueckpt.safe_files import Directory
from torqueckpt.typed_json import Malformed

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


_MANY = 1_000_000  # entries of which the room is counted

_DEEPEST = 30  # of directories within each other, each held open; a lineage has four


@contextmanager
def locked(directory: Directory, seconds: float, job: str) -> Iterator[int]:
    """Take the lock; gives its descriptor.  Busy after `seconds` of waiting.

    The lock lasts until the last inherited copy of the descriptor is closed.
    """
    fd = directory.open_file(layout.LOCK, os.O_RDWR | os.O_CREAT)
    try:
        _wait(fd, seconds, job)
        yield fd
    finally:
        os.close(fd)


def _wait(fd: int, seconds: float, job: str) -> None:
    until = time.monotonic() + seconds
    pause = 0.005
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as busy:
            if time.monotonic() >= until:
                raise Busy(job=job, seconds=int(seconds)) from busy
        time.sleep(pause)
        pause = min(pause * 2, 0.1)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Inside, an OSError on files of the store becomes StoreFull or StoreNotWritable."""
    try:
        yield
    except OSError as problem:
        if problem.errno in _NO_ROOM:
            raise StoreFull(path=path, problem=problem.strerror) from problem
        raise StoreNotWritable(path=path, problem=problem.strerror or str(problem)) from problem


@contextmanager
def record(path: Path) -> Iterator[None]:
    """Inside, a damaged or unreadable record becomes RecordTorn; a missing one stays an OSError."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (Malformed, OSError) as torn:
        raise RecordTorn(path=path, problem=torn) from torn


def free(directory: Directory) -> int:
    """Bytes that an ordinary user can still write to the directory's file system."""
    left = os.fstatvfs(directory.fd)
    return left.f_bavail * left.f_frsize


class Usage(NamedTuple):
    """Bytes on the disk; unknown: why there may be more, "" when all of it was seen."""

    bytes: int
    unknown: str


def below(directory: Directory) -> Usage:
    """What all below a directory takes on the disk, links not followed.

    What vanishes does not count; what its owner has closed, or made deeper than anything of ours,
    is told.
    """
    total, count, unknown = 0, 0, ""
    ways = [(directory, directory.entries())]
    while ways:
        here, entries = ways[-1]
        entry = next(entries, None)
        if entry is None:
            ways.pop()
            continue
        count += 1
        if count > _MANY:
            return Usage(total, f"more than {_MANY} entries")
        try:
            status = entry.stat(follow_symlinks=False)
            total += status.st_blocks * 512
            if not stat.S_ISDIR(status.st_mode):
                continue
            if len(ways) > _DEEPEST:
                unknown = f"directories more than {_DEEPEST} deep"
                continue
            inner = here.sub(entry.name)
            ways.append((inner, inner.entries()))
        except FileNotFoundError:  # removed meanwhile
            continue
        except OSError as closed:
            unknown = str(closed.strerror)
    return Usage(total, unknown)
