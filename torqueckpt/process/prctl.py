# SPDX-License-Identifier: MIT
"""prctl(2), which Python does not have."""

from __future__ import annotations

import ctypes
import os

SET_PDEATHSIG = 1
GET_SECUREBITS = 27
SET_TIMERSLACK, GET_TIMERSLACK = 29, 30
SET_CHILD_SUBREAPER = 36
SET_NO_NEW_PRIVS = 38


def prctl(option: int, argument: int = 0) -> int:
    """Call prctl with one argument, the others 0; OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    words = [ctypes.c_ulong(each) for each in (argument, 0, 0, 0)]
    result = int(libc.prctl(option, *words))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), f"prctl({option})")
    return result
