# SPDX-License-Identifier: MIT
"""What this program was given when it was started, to be passed on as it was."""

from __future__ import annotations

import os


def environment() -> dict[bytes, bytes]:
    """As it was at our own exec: Python has set LC_CTYPE since where the locale is C."""
    try:
        with open("/proc/self/environ", "rb") as file:
            given = file.read()
    except OSError:
        return dict(os.environb)
    return dict(item.split(b"=", 1) for item in given.split(b"\0") if b"=" in item)
