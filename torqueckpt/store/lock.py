# SPDX-License-Identifier: MIT
"""flock on a file `lock` in a directory, waited for with a limit."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from torqueckpt.errors import Busy
from torqueckpt.paths import Directory


@contextmanager
def locked(directory: Directory, seconds: float, job: str) -> Iterator[int]:
    """Hold the lock; gives its descriptor.  Busy after `seconds` of waiting.

    The lock lasts until the last inherited copy of the descriptor is closed.
    """
    fd = directory.open_file("lock", os.O_RDWR | os.O_CREAT)
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
