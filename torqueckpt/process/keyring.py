# SPDX-License-Identifier: MIT
"""Leave the keys of a login session behind (keyrings(7))."""

from __future__ import annotations

import ctypes
import os

_KEYCTL = {"x86_64": 250, "aarch64": 219}  # Python and the C library have no call for it
_JOIN_SESSION_KEYRING = 1


def join_new_session() -> None:
    """Have an empty session keyring: who possesses a keyring may read it, whatever his uid."""
    number = _KEYCTL.get(os.uname().machine)
    if number is not None:  # a kernel without keys refuses, and has none to leave behind
        ctypes.CDLL(None).syscall(number, _JOIN_SESSION_KEYRING, None)
