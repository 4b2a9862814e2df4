# SPDX-License-Identifier: MIT
"""Find processes that wait for a time of the monotonic clock, which begins anew at each boot.

A program that asked the kernel to wake it after so many seconds gets the rest of them after a
restart.  One that waits until a time of that clock, or computes the rest from it when it is
interrupted, finds that time far ahead, or long past.
"""

from __future__ import annotations

import os
import time

from torqueckpt.process import proc

# System calls that wait, and what of their arguments tells until when: (argument, values of it
# that mean no such wait).  clock_nanosleep's flags are 0 for "so long" instead of "until".
_FOREVER = {0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF, 0}
_CALLS: dict[str, dict[int, tuple[int, set[int]]]] = {
    "x86_64": {
        230: (1, {0}),  # clock_nanosleep
        202: (3, {0}),  # futex
        7: (2, _FOREVER),  # poll
        271: (2, {0}),  # ppoll
        23: (4, {0}),  # select
        270: (4, {0}),  # pselect6
        232: (3, _FOREVER),  # epoll_wait
        281: (3, _FOREVER),  # epoll_pwait
    },
    "aarch64": {
        115: (1, {0}),
        98: (3, {0}),
        73: (2, {0}),
        72: (4, {0}),
        22: (3, _FOREVER),
    },
}


def now() -> int:
    """The monotonic clock's time in seconds."""
    return int(time.monotonic())


def waiting(tree: list[proc.Stat]) -> tuple[int, ...]:
    """The pids in the tree that wait so, as far as can be seen: a busy thread shows nothing."""
    calls = _CALLS.get(os.uname().machine, {})
    return tuple(
        each.pid
        for each in tree
        if any(_waits(call, calls) for call in proc.system_calls(each.pid))
    )


def _waits(call: list[str], calls: dict[int, tuple[int, set[int]]]) -> bool:
    if len(call) < 7 or not call[0].isdigit() or int(call[0]) not in calls:
        return False
    argument, no_wait = calls[int(call[0])]
    return int(call[argument + 1], 16) not in no_wait
