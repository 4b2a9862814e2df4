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

from torqueckpt import layout
from torqueckpt.errors import Busy, RecordTorn, StoreFull, StoreNotWritable
from torqueckpt.safe_files import Directory
from torqueckpt.typed_json import Malformed

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


_DEEPEST = 4  # a lineage's image files; what lies deeper is nothing of the store's


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


def below(directory: Directory, deep: int = _DEEPEST) -> int:
    """Bytes on the disk of all below a directory, links not followed.

    What vanishes does not count.
    """
    total = 0
    for name in directory.names():
        try:
            status = os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
            total += status.st_blocks * 512
            if stat.S_ISDIR(status.st_mode) and deep > 0:
                with directory.sub(name) as inner:
                    total += below(inner, deep - 1)
        except OSError:  # removed meanwhile, or closed by its owner
            continue
    return total
