# SPDX-License-Identifier: MIT
"""When a job of the local MOM is due for its next checkpoint, by what the last ones cost."""

from __future__ import annotations

from torqueckpt.batch import schedule
from torqueckpt.batch.checkpoint_spec import CheckpointSpec
from torqueckpt.batch.local.site import Site


class Due:
    """Keeps what is known of the checkpoints so far; times are seconds of the monotonic clock.

    frozen_seconds: how long the job stood still for the last one.
    """

    def __init__(self, job: str, spec: CheckpointSpec, site: Site, now: float) -> None:
        self._job, self._spec, self._site = job, spec, site
        self._history = schedule.History(now)
        self._image_at = now
        self.frozen_seconds = 0.0

    def taken(self, now: float) -> None:
        self._image_at = now
        self._history = self._history._replace(last_image=now, last_try=now, failures=0)

    def failed(self, now: float) -> None:
        failures = self._history.failures + 1
        self._history = self._history._replace(last_try=now, failures=failures)

    def skipped(self, now: float) -> str:
        """Why one that is due is not worth it: looked at again a period later; "" if it is."""
        percent = self._site.max_frozen_percent
        costly = schedule.too_costly(self.frozen_seconds, now - self._image_at, percent)
        if costly:
            self._history = self._history._replace(last_image=now)
        return costly

    def next(self) -> float:
        interval = self._interval()
        jitter = schedule.jitter(self._job, interval, self._site.jitter_seconds)
        return schedule.next_due(self._history, interval, jitter)

    def _interval(self) -> float:
        if self._spec.auto and self._history.last_image is not None:
            return schedule.best(self.frozen_seconds, self._site.rate)
        return self._spec.interval_seconds or self._site.default_interval_seconds
