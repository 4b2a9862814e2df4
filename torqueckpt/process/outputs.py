# SPDX-License-Identifier: MIT
"""Our own stdout and stderr, where they are files that a job's processes write too."""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress


def append_from_now_on() -> None:
    """Whoever shares these descriptors, the shells above us too, writes at the end of the file.

    A restored job has descriptors of its own: where ours stand, its output would be overwritten.
    """
    for fd in (1, 2):
        if stat.S_ISREG(os.fstat(fd).st_mode):
            fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_APPEND)


def tell(line: str) -> None:
    """One line in the job's stderr; a full disk does not stop us."""
    with suppress(OSError):
        os.write(2, f"{line}\n".encode("utf-8", "backslashreplace"))
