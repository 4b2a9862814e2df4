# SPDX-License-Identifier: MIT
"""prctl(2), which Python does not have."""

from __future__ import annotations

import ctypes
import os

SET_NO_NEW_PRIVS = 38
SET_CHILD_SUBREAPER = 36


def prctl(option: int, argument: int) -> int:
    """Call prctl with one argument, the others 0; OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    words = [ctypes.c_ulong(each) for each in (argument, 0, 0, 0)]
    result = int(libc.prctl(option, *words))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), f"prctl({option})")
    return result
