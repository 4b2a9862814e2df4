# SPDX-License-Identifier: MIT
"""Pass on the environment, stdout and stderr that this program was started with."""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress


def environment() -> dict[bytes, bytes]:
    """Read the environment of our own exec: Python has since set LC_CTYPE where the locale is C."""
    try:
        with open("/proc/self/environ", "rb") as file:
            given = file.read()
    except OSError:
        return dict(os.environb)
    return dict(item.split(b"=", 1) for item in given.split(b"\0") if b"=" in item)


def append_from_now_on() -> None:
    """Have everybody who shares our stdout and stderr, the shells above us too, write at the end.

    A restored job has descriptors of its own: where ours stand, its output would be overwritten.
    """
    for fd in (1, 2):
        if stat.S_ISREG(os.fstat(fd).st_mode):
            fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_APPEND)


def tell(line: str) -> None:
    """Write one line to the job's stderr; a full disk does not stop us."""
    with suppress(OSError):
        os.write(2, f"{line}\n".encode("utf-8", "backslashreplace"))
