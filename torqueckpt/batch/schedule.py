# SPDX-License-Identifier: MIT
"""Compute when a job's next periodic checkpoint is due, and how often is best.

Due is computed from what was, not timed.  Sources of the formulas: J. W. Young, "A first order
approximation to the optimum checkpoint interval", CACM 17 (1974) 530; J. T. Daly, "A higher order
estimate of the optimum checkpoint interval for restart dumps", Future Generation Computer Systems
22 (2006) 303, equation 37.  All times are seconds; intervals are from the end of one checkpoint to
the beginning of the next.
"""

from __future__ import annotations

import math
import zlib
from typing import NamedTuple

_LONGEST_BACK_OFF = 8


SHORTEST_SECONDS = 60.0  # -c counts minutes


class History(NamedTuple):
    """A job's checkpoints so far, in seconds of one clock; failures: since the last image."""

    started: float
    last_image: float | None = None
    last_try: float | None = None
    failures: int = 0


def next_due(history: History, interval_seconds: float, jitter_seconds: float = 0) -> float:
    """When the next is due: an interval after the start, then after each image.

    Failures double it.  The jitter puts off the first image, and with it all that follow.
    """
    if history.failures and history.last_try is not None:
        wait = interval_seconds * min(1 << history.failures, _LONGEST_BACK_OFF)
        return history.last_try + wait
    if history.last_image is None:
        return history.started + interval_seconds + jitter_seconds
    return history.last_image + interval_seconds


def jitter(job: str, interval_seconds: float, most_seconds: float) -> float:
    """A job's own jitter: always the same, and spread evenly over the jobs of many ids."""
    share = zlib.crc32(job.encode()) / (1 << 32)
    return share * min(most_seconds, interval_seconds / 4)


def too_costly(frozen_seconds: float, since_image_seconds: float, max_percent: int) -> str:
    """Why a checkpoint is skipped: it would stop the job for too long.  "" when it is taken.

    It counts against the time since the last image: one slow dump puts the next one off, and no
    more.
    """
    percent = 100 * frozen_seconds / max(since_image_seconds, 0.001)
    if percent <= max_percent:
        return ""
    return (
        f"it would stop the job for {frozen_seconds:.1f} s of {since_image_seconds:.0f} s, "
        f"more than {max_percent} %"
    )


class Rate(NamedTuple):
    """How often nodes fail, and the largest share of a job's time for checkpoints, in percent."""

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
    """The best interval: Daly's, longer where checkpoints would take more than their share."""
    return max(daly(cost, rate.mtbf_seconds), _least(cost, rate))


def aligned(interval: float, cost: float, left: float, reserve: float, rate: Rate) -> float | None:
    """The interval nearest to `interval` whose last checkpoint fits before the walltime's end.

    It is done `reserve` before that end, which is `left` from now; None when no checkpoint is worth
    its cost any more.
    """
    usable, least = left - reserve, _least(cost, rate) + cost
    if usable < least:
        return None
    count = min(max(round(usable / (interval + cost)), 1), usable // least)
    return usable / count - cost


def wasted(interval: float, cost: float, walltime: float, reserve: float) -> float:
    """How much work since its last image a job loses when its walltime ends it."""
    return walltime - (interval + cost) * ((walltime - reserve) // (interval + cost))


def _least(cost: float, rate: Rate) -> float:
    share = rate.overhead_percent / 100
    return max(cost * (1 - share) / share, SHORTEST_SECONDS)
