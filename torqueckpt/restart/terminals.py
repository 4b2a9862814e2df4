# SPDX-License-Identifier: MIT
"""Choose numbers for pseudo terminals whose own are taken on this node (pts(4): /dev/pts/N).

The kernel gives the lowest free number.  CRIU opens terminals until it gets the one that it wants,
32 at the most.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import count, islice

_PLACE = "/dev/pts"
_OPENED_AT_MOST = 32
_SPARE = 8  # left free below the chosen ones: others may open some before the restore does


def elsewhere(wanted: Iterable[int]) -> dict[int, int]:
    """The numbers to restore with, by the recorded ones; only of those that cannot be had."""
    wanted = sorted(set(wanted))
    if not wanted:
        return {}
    taken = {int(name) for name in os.listdir(_PLACE) if name.isdigit()}
    lowest = next(number for number in count() if number not in taken)
    lost = [each for each in wanted if each in taken or each >= lowest + _OPENED_AT_MOST]
    used = taken | set(wanted)
    free = islice((number for number in count() if number not in used), _SPARE, None)
    return dict(zip(lost, free))
