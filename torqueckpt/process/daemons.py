# SPDX-License-Identifier: MIT
"""The daemons of this node, by name."""

from __future__ import annotations

import os

from torqueckpt.process import proc


def running(name: str) -> int:
    """The oldest process of root's of that name on this node, no container's; 0 when none runs."""
    found = [each for each in proc.everything() if each.name == name and not each.ended]
    ours = [each for each in found if _is_roots_here(each.pid)]
    return min(ours, key=lambda each: each.start_ticks).pid if ours else 0


def _is_roots_here(pid: int) -> bool:
    who = proc.credentials(pid)
    try:
        here = os.readlink(f"/proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid")
    except OSError:  # it has ended
        return False
    return here and who is not None and who.uids[0] == 0
