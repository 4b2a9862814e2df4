# SPDX-License-Identifier: MIT
"""Decide when the periodic service takes a job's checkpoint: when it is due and nobody else did."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import NamedTuple

from torqueckpt.batch import schedule
from torqueckpt.batch.checkpoint_spec import CheckpointSpec
from torqueckpt.batch.schedule import History, Rate
from torqueckpt.ifl.records import Job, seconds
from torqueckpt.node import periodic_images
from torqueckpt.node.periodic_images import Seen
from torqueckpt.reports import interval
from torqueckpt.settings import Settings


class _Try(NamedTuple):
    """When a checkpoint of a job was last asked for, and how often that has failed since."""

    at: float
    failures: int


class Due:
    """Tells which jobs are due; keeps when each was last tried.

    rate_of: how often a user's jobs fail, None when that is not known; tell: of a job, a line.
    """

    def __init__(
        self,
        settings: Settings,
        rate_of: Callable[[str], Rate | None],
        tell: Callable[[str, str], None],
    ) -> None:
        self._settings, self._rate_of, self._tell = settings, rate_of, tell
        self._tries: dict[str, _Try] = {}

    def is_due(self, job: Job, spec: CheckpointSpec, seen: Seen) -> bool:
        """Whether the job is to be checkpointed now; True counts as a try."""
        now = time.time()
        started = min(periodic_images.started(job) or seen.created or now, now)
        tried = self._tries.get(job.id)
        if tried is not None and tried.at > now:  # the clock was set back since, as for images
            tried = None
        failures = 0
        if tried is not None and seen.created < tried.at - 1:
            failures = tried.failures + 1
        history = History(
            started=started,
            last_image=seen.created if started <= seen.created <= now + 1 else None,
            last_try=tried.at if tried is not None else None,
            failures=failures,
        )
        wait = self._interval(job, spec, seen, history)
        if tried is not None and now < tried.at - 1 + wait:  # whatever its image says
            return False
        jitter = schedule.jitter(job.id, wait, self._settings.jitter_seconds)
        at = schedule.next_due(history, wait, jitter)
        # Once this service had to take one, the MOM is not waited for at the next.
        grace = self._settings.periodic_grace_seconds if tried is None else 0
        if now < at + grace:
            return False
        since = now - (history.last_image or started)
        percent = self._settings.max_frozen_percent
        costly = schedule.too_costly(seen.frozen_us / 1e6, since, percent)
        if costly:
            self._tell(job.id, f"checkpoint skipped: {costly}")
            return False
        self._tries[job.id] = _Try(now, failures)
        return True

    def _interval(self, job: Job, spec: CheckpointSpec, seen: Seen, history: History) -> float:
        """The interval that -c says, in seconds; for auto, the best one after the last image.

        It is not computed anew before the next image, so that a late one does not move those after
        it. What a first checkpoint will cost nobody knows yet.
        """
        if not spec.auto or history.last_image is None:
            return spec.interval_seconds or self._settings.interval_minutes * 60
        rate = self._rate_of(job.user)
        if rate is None:
            return self._settings.interval_minutes * 60
        limit = seconds(job.resource("Resource_List", "walltime"))
        begun = periodic_images.started(job)
        left = begun + limit - history.last_image if limit and begun else None
        return interval.until_next(seen.frozen_us / 1e6, left, rate, self._settings)

    def forget_all_but(self, jobs: Collection[str]) -> None:
        """Forget when others than these were tried."""
        self._tries = {job: each for job, each in self._tries.items() if job in jobs}
