# SPDX-License-Identifier: MIT
"""A local job's walltime: when its last checkpoint begins, and when it is ended in any case."""

from __future__ import annotations

from collections.abc import Callable

from torqueckpt.batch import walltime
from torqueckpt.batch.local.launch import Hook
from torqueckpt.batch.local.submission import Submission

_LOOK_SECONDS = 0.2


class Deadline:
    """Keeps a job's walltime by the monotonic clock; the time that it is held does not count."""

    def __init__(self, submission: Submission, margin: int) -> None:
        self._walltime = submission.walltime
        self._wanted = walltime.wanted(submission.variables) and not submission.spec.never
        self._margin = margin
        self._used = 0.0  # before it was held
        self._since = 0.0
        self._durations: list[float] = []
        self._tried: float | None = None
        self.near = False  # no other checkpoint begins any more

    def runs(self, now: float) -> None:
        self._since, self.near, self._tried = now, False, None

    def stands(self, now: float) -> None:
        self._used = self._walltime_used(now)

    def took(self, hook: Hook, status: int, now: float) -> None:
        if status == 0:
            self._durations.append(now - hook.began)
        elif hook.end and hook.caller is None:
            self._tried = self._walltime_used(now)

    def is_over(self, now: float) -> bool:
        return self._walltime is not None and self._walltime_used(now) >= self._walltime

    def is_near(self, now: float, memory: Callable[[], int]) -> bool:
        """Whether to begin the last checkpoint; called when no other is under way."""
        used = self._walltime_used(now)
        if self._walltime is None or not self._wanted or used < self._walltime / 2:
            return False
        expected = walltime.expected_seconds(self._durations, 0 if self._durations else memory())
        self.near = used >= walltime.begins(self._walltime, 2 * expected, self._margin)
        if self._tried is not None:
            at = walltime.again(self._tried, self._walltime, expected)
            return at is not None and used >= at
        return used >= walltime.begins(self._walltime, expected, self._margin)

    def next_looks(self, now: float, free: bool) -> list[float]:
        """When to look again.  A size changes, so it is more often while a checkpoint may begin."""
        if self._walltime is None:
            return []
        left = self._walltime - self._walltime_used(now)
        if not self._wanted or not free:
            return [now + left]
        return [now + max(min(left, max(left - self._walltime / 2, _LOOK_SECONDS)), 0)]

    def _walltime_used(self, now: float) -> float:
        return self._used + now - self._since
