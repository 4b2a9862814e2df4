# SPDX-License-Identifier: MIT
"""The periodic service of a node: it takes checkpoints that are due and that nobody else took.

Many releases of TORQUE never arm MOM's own timer.  Where it works it comes first, and this finds
nothing to do: what is due has a time of grace.  OpenPBS's timer works, but stands still once MOM
has restarted a job in place: there those jobs alone are this service's.  Times are seconds of the
epoch: the server's are.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

from torqueckpt import log, paths, run
from torqueckpt.batch import checkpoint_spec, qsub_options, schedule
from torqueckpt.batch.checkpoint_spec import CheckpointSpec
from torqueckpt.batch.schedule import Rate
from torqueckpt.batch.server import Server, connect
from torqueckpt.chain import server_jobs, walltime
from torqueckpt.errors import InvalidSpec, NeedsRoot, TorqueCkptError
from torqueckpt.ifl.errors import PbsError, SymbolMissing
from torqueckpt.ifl.records import Job, seconds
from torqueckpt.images import prune
from torqueckpt.node import periodic_images
from torqueckpt.process import privileges
from torqueckpt.reports import interval, metrics
from torqueckpt.resubmit import resume_script
from torqueckpt.settings import Settings
from torqueckpt.store import access

T = TypeVar("T")

_MEASURED = 60  # seconds from one writing of the metrics to the next
# Names that TORQUE and OpenPBS both know: a server refuses the question for one that it does not.
ASKED_FOR = (
    *("Job_Owner", "job_state", "exec_host", "Checkpoint", "session_id", "euser"),
    *("queue", "Variable_List", "Resource_List", "resources_used", "depend"),
)
_RATE_LASTS_SECONDS = 3600  # it is read from a whole journal


class _Try(NamedTuple):
    """When a checkpoint of a job was last asked for, and how often that has failed since."""

    at: float
    failures: int


class Periodic:
    """The service of one node; keeps what it needs to know between two rounds."""

    def __init__(self, settings: Settings) -> None:
        if os.getuid() != 0:
            raise NeedsRoot(what="the periodic service", remedy="run it as root, or by its unit")
        self._settings = settings
        self._tries: dict[str, _Try] = {}
        self._told: dict[str, str] = {}
        self._remembered: set[str] = set()
        self._rates: dict[str, tuple[float, Rate]] = {}
        self._odd: set[str] = set()  # jobs whose -c nobody can read
        self._pruned = -math.inf
        self._measured = -math.inf
        self._last = walltime.Waiting(settings)

    def serve(self, server: str | None) -> None:
        """Run for ever; a server that does not answer is asked again at the next round."""
        while True:
            try:
                with connect(self._settings, server) as pbs:
                    self.round(pbs, walltimes=True)
                    self._prune(pbs)
                self._tell("server", "the server answers")
            except TorqueCkptError as failure:
                self._tell("server", str(failure))
            self.write_metrics()
            time.sleep(self._settings.periodic_poll_seconds)

    def round(self, server: Server, walltimes: bool = False) -> list[str]:
        """Look at all jobs of this node once; gives the ids of those that were checkpointed.

        walltimes: for those who stay, as last checkpoints are waited for.
        """
        everywhere = server.jobs(ASKED_FOR)
        here = self._here(everywhere)
        self._forget_all_but({job.id for job, _ in here} | self._odd)
        for job, spec in here:
            if job.id not in self._remembered:
                self._looked(job, lambda each: self._remember(server, each), None)
            if walltimes and not spec.never:
                self._looked(job, self._last.see_to, None)
        if walltimes:
            ids = {job.id for job, _ in here}
            server_jobs.move_dependents(server, everywhere, ids, partial(self._tell, "depend"))
        ours = [
            (job, spec)
            for job, spec in here
            if spec.periodic and not (server.is_openpbs and self._mom_has_timer(job))
        ]
        return [job.id for job, spec in ours if self._is_due(job, spec) and self._take(server, job)]

    def _prune(self, server: Server) -> None:
        """Remove images that the settings no longer keep, when the time for that has come."""
        pause = self._settings.prune_interval_minutes * 60
        if not pause or time.monotonic() < self._pruned + pause:
            return
        self._pruned = time.monotonic()
        prune.prune(None, self._settings, server)

    def write_metrics(self) -> None:
        """Write the metrics once a minute, where the settings name a file.

        No server is needed for it.
        """
        if not self._settings.writes_metrics() or time.monotonic() < self._measured + _MEASURED:
            return
        self._measured = time.monotonic()
        try:
            data = metrics.text(access.owners(self._settings), self._settings)
            metrics.write(self._settings.metrics_textfile, data)
            self._tell("metrics", "the figures for Prometheus are written")
        except (TorqueCkptError, OSError, ImportError) as failure:
            self._tell("metrics", f"no figures for Prometheus: {failure}")

    def shutdown(self, server: Server) -> list[str]:
        """Checkpoint every job that can be, due or not: the node goes down."""
        here = [
            job
            for job, spec in self._here(server.jobs(ASKED_FOR))
            if spec.checkpointable or (server.is_openpbs and not spec.never)
        ]
        return [job.id for job in here if self._call_hook(job)]

    def _here(self, everywhere: list[Job]) -> list[tuple[Job, CheckpointSpec]]:
        """The running jobs whose mother superior is this node, each with its -c."""
        found = []
        self._odd.clear()
        for job in everywhere:
            if not job.runs or not job.hosts or not _is_here(job.hosts[0]):
                continue
            try:
                found.append((job, checkpoint_spec.parse(job.checkpoint or "u")))
            except InvalidSpec as other:
                self._odd.add(job.id)
                self._tell(job.id, str(other))
        return found

    def _is_due(self, job: Job, spec: CheckpointSpec) -> bool:
        nothing: periodic_images.Newest | None = periodic_images.Newest()
        image = self._looked(
            job, lambda each: periodic_images.newest(each, self._settings), nothing
        )
        now = time.time()
        if image is None:
            return False
        started = min(periodic_images.started(job) or image.created or now, now)
        tried = self._tries.get(job.id)
        if tried is not None and tried.at > now:  # the clock was set back since, as for images
            tried = None
        failures = 0
        if tried is not None and image.created < tried.at - 1:
            failures = tried.failures + 1
        history = schedule.History(
            started=started,
            last_image=image.created if started <= image.created <= now + 1 else None,
            last_try=tried.at if tried is not None else None,
            failures=failures,
        )
        interval = self._interval(job, spec, image, history)
        at = schedule.next_due(history, interval, self._settings.jitter_seconds)
        # Once this service had to take one, the MOM is not waited for at the next.
        grace = self._settings.periodic_grace_seconds if tried is None else 0
        if now < at + grace:
            return False
        percent = self._settings.max_frozen_percent
        costly = schedule.too_costly(
            image.frozen_seconds, now - (history.last_image or started), percent
        )
        if costly:
            self._tell(job.id, f"checkpoint skipped: {costly}")
            return False
        self._tries[job.id] = _Try(now, failures)
        return True

    def _interval(
        self,
        job: Job,
        spec: CheckpointSpec,
        image: periodic_images.Newest,
        history: schedule.History,
    ) -> float:
        """The interval that -c says; for auto, the best one after the last image.

        It is not computed anew before the next image, so that a late one does not move those after
        it. What a first checkpoint will cost nobody knows yet.
        """
        if not spec.auto or history.last_image is None:
            return spec.interval_seconds or self._settings.interval_minutes * 60
        owner = privileges.owner(job.user)
        known = self._rates.get(owner.name)
        if known is None or time.monotonic() > known[0] + _RATE_LASTS_SECONDS:
            known = time.monotonic(), interval.rate_of(owner, self._settings)[0]
            self._rates[owner.name] = known
        limit, begun = (
            seconds(job.resource("Resource_List", "walltime")),
            periodic_images.started(job),
        )
        left = begun + limit - history.last_image if limit and begun else None
        return interval.until_next(image.frozen_seconds, left, known[1], self._settings)

    def _take(self, server: Server, job: Job) -> bool:
        """Have the server take the checkpoint, so that it knows; else call the hook.

        A server may refuse, and OpenPBS's has no such call.
        """
        try:
            server.checkpoint(job.id)
        except (PbsError, SymbolMissing) as refusal:
            self._tell(job.id, f"the server refuses ({refusal}), so the hook is called here")
            return self._call_hook(job)
        log.info(f"{job.id}: checkpoint was due, asked the server for it")
        return True

    def _call_hook(self, job: Job) -> bool:
        program = paths.program("sbin", "mom-checkpoint")
        words = [str(job.session_id or "-"), job.id, job.user]
        # It waits for the lock, dumps, and writes a large image to the disk.
        limit = self._settings.lock_timeout_seconds + 4 * self._settings.dump_timeout_seconds
        finished = run.run([str(program), *words], timeout_seconds=limit)
        if not finished.ok:
            self._tell(job.id, f"checkpoint failed: {finished.last_line()}")
            return False
        log.info(f"{job.id}: checkpointed")
        return True

    def _remember(self, server: Server, job: Job) -> None:
        """Keep what a job asked for with its images, once it has some."""
        with periodic_images.lineage_of(job, self._settings) as lineage:
            if lineage is not None and periodic_images.is_of(lineage, job):
                with privileges.acting_as_root():
                    directives = qsub_options.of_server(server.job(job.id))
                resume_script.keep(lineage, job.id, directives)
                self._remembered.add(job.id)

    def _mom_has_timer(self, job: Job) -> bool:
        return self._looked(
            job, lambda each: periodic_images.mom_has_timer(each, self._settings), True
        )

    def _looked(self, job: Job, look: Callable[[Job], T], otherwise: T) -> T:
        """Look at one job; a failure is logged, and keeps the service from no other."""
        try:
            return look(job)
        except (TorqueCkptError, OSError) as failure:
            self._tell(job.id, str(failure))
            return otherwise

    def _tell(self, about: str, line: str) -> None:
        """Log a line once, not at each round."""
        if self._told.get(about) != line:
            self._told[about] = line
            log.info(f"{about}: {line}")

    def _forget_all_but(self, jobs: set[str]) -> None:
        self._last.forget_all_but(jobs)
        self._remembered &= jobs
        self._tries = {job: each for job, each in self._tries.items() if job in jobs}
        self._told = {
            about: line
            for about, line in self._told.items()
            if about in jobs | {"server", "depend", "metrics"}
        }


def _is_here(host: str) -> bool:
    return host.partition(".")[0] == os.uname().nodename.partition(".")[0]
