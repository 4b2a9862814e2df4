# SPDX-License-Identifier: MIT
"""System calls that Python does not have."""

from __future__ import annotations

import ctypes
import os

SET_PDEATHSIG = 1
GET_SECUREBITS = 27
SET_TIMERSLACK, GET_TIMERSLACK = 29, 30
SET_CHILD_SUBREAPER = 36
SET_NO_NEW_PRIVS = 38
_KEYCTL = {"x86_64": 250, "aarch64": 219}
_JOIN_SESSION_KEYRING = 1
_IOPRIO = {"x86_64": (251, 252), "aarch64": (30, 31)}  # set, get
_OF_PROCESS = 1
_libc = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, argument: int = 0) -> int:
    """Call prctl(2) with one argument, the others 0; OSError."""
    words = [ctypes.c_ulong(each) for each in (argument, 0, 0, 0)]
    result = int(_libc.prctl(option, *words))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), f"prctl({option})")
    return result


def join_new_session_keyring() -> None:
    """Have an empty session keyring: who possesses a keyring may read it, whatever his uid.

    The keys of a login session are left behind with it (keyrings(7)).
    """
    number = _KEYCTL.get(os.uname().machine)
    if number is not None:  # a kernel without keys refuses, and has none to leave behind
        _libc.syscall(number, _JOIN_SESSION_KEYRING, None)


def io_priority(tid: int) -> int:
    """As ioprio_get(2) has it, 0 for ourselves; -1 where there is no such thread."""
    calls = _IOPRIO.get(os.uname().machine)
    return int(_libc.syscall(calls[1], _OF_PROCESS, tid)) if calls is not None else 0


def set_io_priority(tid: int, value: int) -> None:
    """Set it where the kernel lets us."""
    calls = _IOPRIO.get(os.uname().machine)
    if calls is not None:
        _libc.syscall(calls[0], _OF_PROCESS, tid, value)
