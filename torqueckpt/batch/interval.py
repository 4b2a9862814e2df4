# SPDX-License-Identifier: MIT
"""How often to checkpoint: from what a checkpoint costs and how often nodes fail.

Sources: J. W. Young, "A first order approximation to the optimum checkpoint interval", CACM 17
(1974) 530; J. T. Daly, "A higher order estimate of the optimum checkpoint interval for restart
dumps", Future Generation Computer Systems 22 (2006) 303, equation 37.  All times are seconds;
intervals are from the end of one checkpoint to the beginning of the next.
"""

from __future__ import annotations

import math
from typing import NamedTuple

SHORTEST_SECONDS = 60.0  # -c counts minutes


class Rate(NamedTuple):
    """What the intervals are computed from: the mean time between failures, and the largest share
    of a job's time that checkpoints may take, in percent."""

    mtbf_seconds: float
    overhead_percent: float


def young(cost: float, mtbf: float) -> float:
    return math.sqrt(2 * cost * mtbf)


def daly(cost: float, mtbf: float) -> float:
    if cost >= 2 * mtbf:
        return mtbf
    part = cost / (2 * mtbf)
    return math.sqrt(2 * cost * mtbf) * (1 + math.sqrt(part) / 3 + part / 9) - cost


def best(cost: float, rate: Rate) -> float:
    """Daly's interval, longer where checkpoints would take more than their share."""
    return max(daly(cost, rate.mtbf_seconds), _least(cost, rate))


def aligned(interval: float, cost: float, left: float, reserve: float, rate: Rate) -> float | None:
    """The interval nearest to `interval` with which the last checkpoint is done `reserve` before
    the walltime's end, `left` from now; None when none is worth its cost any more."""
    usable, least = left - reserve, _least(cost, rate) + cost
    if usable < least:
        return None
    count = min(max(round(usable / (interval + cost)), 1), usable // least)
    return usable / count - cost


def wasted(interval: float, cost: float, walltime: float, reserve: float) -> float:
    """What a job that is ended at its walltime has done since its last image."""
    return walltime - (interval + cost) * ((walltime - reserve) // (interval + cost))


def _least(cost: float, rate: Rate) -> float:
    share = rate.overhead_percent / 100
    return max(cost * (1 - share) / share, SHORTEST_SECONDS)
