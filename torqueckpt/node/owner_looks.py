# SPDX-License-Identifier: MIT
"""Look at the jobs of each owner in a worker of its own; whose files hang is not waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from torqueckpt.batch.checkpoint_spec import CheckpointSpec
from torqueckpt.batch.schedule import Rate
from torqueckpt.ifl.records import Job
from torqueckpt.node import periodic_images
from torqueckpt.node.periodic_images import Looks, Seen, Wanted
from torqueckpt.process.worker import RootWorker, WorkerFailed
from torqueckpt.settings import Settings

_LOOK_SECONDS = 0.05
_PATIENCE_SECONDS = 5.0  # for one owner's files; whose have made it wait is not waited for again
_RATE_LASTS_SECONDS = 3600  # it is read from a whole journal

Jobs = list[tuple[Job, CheckpointSpec]]


class OwnerLooks:
    """The looks of a service; what they bring is in the answer of look(), and the rates.

    tell_problems: at whom something goes wrong, and what; meanwhile is called while one is waited
    for.
    """

    def __init__(
        self,
        settings: Settings,
        tell_problems: Callable[[str, tuple[str, ...]], None],
        meanwhile: Callable[[], object],
    ) -> None:
        self._settings = settings
        self._tell_problems, self._meanwhile = tell_problems, meanwhile
        self._reached: dict[str, float] = {}  # when a job was last looked at
        self._rates: dict[str, tuple[float, Rate]] = {}
        self._looking: dict[str, RootWorker[Looks]] = {}  # at slow owners' jobs
        self._slow: set[str] = set()

    def by_user(self, here: Jobs) -> dict[str, Jobs]:
        """The jobs by whose they are, first those that were not reached for the longest time."""
        found: dict[str, Jobs] = {}
        for job, spec in sorted(here, key=lambda each: self._reached.get(each[0].id, 0.0)):
            found.setdefault(job.user, []).append((job, spec))
        return found

    def look(
        self, user: str, jobs: Jobs, is_openpbs: bool, last: Collection[str], stays: bool
    ) -> dict[str, Seen]:
        """What is seen of a user's jobs; those that his budget did not reach are not in it.

        last: for which of them a last checkpoint is to be waited for.  stays: as a service does,
        which looks again.
        """
        worker = self._looking.pop(user, None)
        if worker is None:
            wanted = [Wanted(job, job.id in last, is_openpbs) for job, _ in jobs]
            known = self._rates.get(user)
            old = known is None or time.monotonic() > known[0] + _RATE_LASTS_SECONDS
            rate_too = old and any(spec.auto for _, spec in jobs)
            worker = periodic_images.begin(user, wanted, rate_too, self._settings)
        until = time.monotonic() + (0 if user in self._slow else _PATIENCE_SECONDS)
        while stays and not worker.is_over(_LOOK_SECONDS):
            if time.monotonic() >= until:  # a file server is silent, or his file system
                self._looking[user] = worker
                self._slow.add(user)
                self._tell_problems(user, (f"{user}: left out until his files answer",))
                return {}
            self._meanwhile()
        try:
            looks = worker.result(Looks)
            self._slow.discard(user)
        except WorkerFailed as failed:
            looks = Looks((), (f"{user}: left out: {failed}",))
        self._tell_problems(user, looks.problems)
        now = time.monotonic()
        if looks.mtbf_seconds is not None:
            self._rates[user] = now, Rate(looks.mtbf_seconds, self._settings.overhead_percent)
        self._reached.update({seen.job: now for seen in looks.jobs})
        return {seen.job: seen for seen in looks.jobs}

    def rate_of(self, user: str) -> Rate | None:
        """How often the user's jobs fail; None when his journal could not be read."""
        known = self._rates.get(user)
        return known[1] if known is not None else None

    def forget_all_but(self, jobs: Collection[str], users: Collection[str]) -> None:
        """Forget what is known of others than these."""
        self._slow.intersection_update(users)
        self._reached = {job: at for job, at in self._reached.items() if job in jobs}
