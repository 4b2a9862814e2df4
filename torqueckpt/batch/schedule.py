# SPDX-License-Identifier: MIT
"""When a job's next periodic checkpoint is due: computed from what was, not timed."""

from __future__ import annotations

from typing import NamedTuple

_LONGEST_BACK_OFF = 8


class History(NamedTuple):
    """Times in seconds on one clock; failures counts those since the last image."""

    started: float
    last_image: float | None = None
    last_try: float | None = None
    failures: int = 0


def next_due(history: History, interval_seconds: float, jitter_seconds: float = 0) -> float:
    """start + interval, then last image + interval; a failure doubles the wait (to eightfold)."""
    since = history.started if history.last_image is None else history.last_image
    if history.failures and history.last_try is not None:
        wait = interval_seconds * min(1 << history.failures, _LONGEST_BACK_OFF)
        return history.last_try + wait + jitter_seconds
    return since + interval_seconds + jitter_seconds


def too_costly(frozen_seconds: float, since_image_seconds: float, max_percent: int) -> str:
    """Why a checkpoint is skipped that would stop the job for too much of its time; "" if not.

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
