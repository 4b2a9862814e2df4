# SPDX-License-Identifier: MIT
"""Which releases of TORQUE take periodic checkpoints by themselves (contracts/torque.md).

A misplaced #if of October 2015 keeps MOM's timer from ever being armed in those that came later.
"""

from __future__ import annotations

import re

_VERSION = re.compile(r"([0-9]+)\.([0-9]+)(?:\.([0-9]+))?(?:\.h([0-9]+))?")
# release → the first of it whose timer stands still: patch level, hotfix
_BROKEN_FROM = {(4, 2): (10, 2), (5, 0): (3, 0), (5, 1): (2, 0), (6, 0): (0, 0), (6, 1): (0, 0)}
_WORKS = ((2, 5), (4, 1))


def works(version: str) -> bool | None:
    """Of a pbs_version; None for a release that nobody has looked at."""
    found = _VERSION.search(version)
    if found is None:  # what is built from its repository calls itself master
        return False if version == "master" else None
    major, minor, patch, hotfix = (int(part or 0) for part in found.groups())
    if (major, minor) in _BROKEN_FROM:
        return (patch, hotfix) < _BROKEN_FROM[major, minor]
    return True if (major, minor) in _WORKS else None
