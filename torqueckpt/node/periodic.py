# SPDX-License-Identifier: MIT
"""The periodic service of a node: it takes checkpoints that are due and that nobody else took.

Many releases of TORQUE never arm MOM's own timer.  Where it works it comes first, and this finds
nothing to do: what is due has a time of grace.  OpenPBS's timer works, but not for members of
arrays, nor once MOM has restarted a job in place: there those jobs alone are this service's.  Times
are seconds of the epoch: the server's are.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from torqueckpt import budget, log
from torqueckpt.batch import checkpoint_spec, schedule
from torqueckpt.batch.checkpoint_spec import CheckpointSpec
from torqueckpt.batch.schedule import Rate
from torqueckpt.batch.server import Server, connect
from torqueckpt.chain import server_jobs, walltime
from torqueckpt.errors import InvalidSpec, NeedsRoot, TorqueCkptError
from torqueckpt.identity import ProcessId
from torqueckpt.ifl.errors import UNCLEAR, ConnectionClosed, PbsError, SymbolMissing
from torqueckpt.ifl.records import Job, seconds
from torqueckpt.images import prune
from torqueckpt.node import periodic_images
from torqueckpt.node.beside import Beside, Done
from torqueckpt.node.hook_calls import HookCalls
from torqueckpt.node.server_apart import ServerApart
from torqueckpt.process import proc
from torqueckpt.process.worker import RootWorker, WorkerFailed
from torqueckpt.reports import interval, metrics
from torqueckpt.settings import Settings
from torqueckpt.store import access

_MEASURED = 60  # seconds from one writing of the metrics to the next
_TURN_SECONDS = 0.5
_LOOK_SECONDS = 0.05
_PATIENCE_SECONDS = 5.0  # for one owner's files; whose have made it wait is not waited for again
_PRUNE_SECONDS = 6 * 3600.0  # a store may be large and slow, and nobody waits for it
_FIGURES_SECONDS = 600.0
_MEMORY_MIB = 2048
# Names that TORQUE and OpenPBS both know: a server refuses the question for one that it does not.
ASKED_FOR = (
    *("Job_Owner", "job_state", "exec_host", "Checkpoint", "session_id", "euser"),
    *("queue", "Variable_List", "Resource_List", "resources_used", "depend"),
)
_RATE_LASTS_SECONDS = 3600  # it is read from a whole journal
_UNCLEAR_SECONDS = 20.0  # in which a MOM that was asked for a checkpoint has begun it


class _Try(NamedTuple):
    """When a checkpoint of a job was last asked for, and how often that has failed since."""

    at: float
    failures: int


class Periodic:
    """The service of one node; keeps what it needs to know between two rounds.

    Jobs are looked at by their owner, and whatever goes wrong with one owner's is told and costs
    nobody else's their checkpoints.
    """

    def __init__(self, settings: Settings) -> None:
        if os.getuid() != 0:
            raise NeedsRoot(what="the periodic service", remedy="run it as root, or by its unit")
        self._settings = settings
        self._tries: dict[str, _Try] = {}
        self._unclear: dict[str, float] = {}  # when the server did not say whether MOM takes one
        self._told: dict[str, str] = {}
        self._problems: dict[str, tuple[str, ...]] = {}  # by user, those of the last round
        self._remembered: set[str] = set()
        self._reached: dict[str, float] = {}  # when a job was last looked at
        self._rates: dict[str, tuple[float, Rate]] = {}
        self._odd: set[str] = set()  # jobs whose -c nobody can read
        self._listed: tuple[str, list[Job]] | None = None  # by the server, and at which time
        self._leaders: dict[str, ProcessId] = {}  # those that lived then, by job
        self._looking: dict[str, RootWorker[periodic_images.Looks]] = {}  # at slow owners' jobs
        self._slow: set[str] = set()
        self._beside = Beside(self._tell_problems)
        self._pruned = -math.inf
        self._measured = -math.inf
        self._last = walltime.Waiting(settings)
        self._hooks = HookCalls(settings, self._tell)

    def serve(self, server: str | None) -> None:
        """Run for ever; a server that does not answer is asked again at the next round."""
        pbs = ServerApart(self._settings, server, _concerns, self._hooks.turn)
        while True:
            try:
                self.round(pbs, stays=True)
                if not pbs.is_silent:
                    self._prune(server)
            except Exception as failure:
                self._tell("server", budget.words(failure))
            self._figures()
            until = time.monotonic() + self._settings.periodic_poll_seconds
            while time.monotonic() < until:
                self._hooks.turn()
                time.sleep(min(_TURN_SECONDS, self._settings.periodic_poll_seconds))

    def round(self, server: Server, stays: bool = False) -> list[str]:
        """Look at all jobs of this node once; gives the ids of those that were checkpointed.

        stays: as a service does, which waits for last checkpoints, and not for its hooks.
        """
        everywhere, answers = self._jobs(server)
        here = self._here(everywhere)
        self._forget_all_but({job.id: job.user for job, _ in here})
        taken = self._hooks.turn()
        for user, jobs in self._by_user(here).items():
            try:
                looks = self._look(server, user, jobs, stays)
            except Exception as failure:
                self._tell_problems(user, (budget.words(failure),))
                continue
            for job, spec in jobs:
                seen = looks.get(job.id)
                try:
                    if seen is not None and self._see_to(server, job, spec, seen, stays):
                        taken.append(job.id)
                except Exception as failure:
                    self._tell(job.id, budget.words(failure))
        if not stays:
            self._beside.wait()
            return taken + self._hooks.wait()
        if answers:
            ids = {job.id for job, _ in here}
            server_jobs.move_dependents(server, everywhere, ids, partial(self._tell, "depend"))
        return taken + self._hooks.turn()

    def _jobs(self, server: Server) -> tuple[list[Job], bool]:
        """The server's jobs, and whether it has listed them now.

        While it is silent they are those that it listed last and that go on.
        """
        try:
            jobs = server.jobs(ASKED_FOR)
        except (TorqueCkptError, WorkerFailed) as silent:
            if self._listed is None:
                raise
            when, jobs = self._listed
            by = f"the service goes on by its list of {when}, and calls the hook itself"
            self._tell("server", f"{budget.words(silent)}: {by}")
            return [job for job in jobs if self._goes_on(job)], False
        self._tell("server", "the server answers")
        self._listed = time.strftime("%H:%M:%S"), jobs
        leaders = {job.id: proc.stat(job.session_id or 0) for job in jobs if _is_here(job)}
        self._leaders = {job: leader.id for job, leader in leaders.items() if leader is not None}
        return jobs, True

    def _goes_on(self, job: Job) -> bool:
        """Whether its session leader lives, or was gone when the server had it run: in place."""
        leader = self._leaders.get(job.id)
        return leader is None or proc.alive(leader) is not None

    def _by_user(
        self, here: list[tuple[Job, CheckpointSpec]]
    ) -> dict[str, list[tuple[Job, CheckpointSpec]]]:
        """The jobs by whose they are, first those that were not reached for the longest time."""
        found: dict[str, list[tuple[Job, CheckpointSpec]]] = {}
        for job, spec in sorted(here, key=lambda each: self._reached.get(each[0].id, 0.0)):
            found.setdefault(job.user, []).append((job, spec))
        return found

    def _look(
        self, server: Server, user: str, jobs: list[tuple[Job, CheckpointSpec]], stays: bool
    ) -> dict[str, periodic_images.Seen]:
        """What is seen of a user's jobs; those that his budget did not reach are not in it."""
        wanted = [
            periodic_images.Wanted(
                job, stays and not spec.never and not self._last.has(job), server.is_openpbs
            )
            for job, spec in jobs
        ]
        known = self._rates.get(user)
        old = known is None or time.monotonic() > known[0] + _RATE_LASTS_SECONDS
        rate_too = old and any(spec.auto for _, spec in jobs)
        worker = self._looking.pop(user, None)
        if worker is None:
            worker = periodic_images.begin(user, wanted, rate_too, self._settings)
        until = time.monotonic() + (0 if user in self._slow else _PATIENCE_SECONDS)
        while stays and not worker.is_over(_LOOK_SECONDS):
            if time.monotonic() >= until:  # a file server is silent, or his file system
                self._looking[user] = worker
                self._slow.add(user)
                self._tell_problems(user, (f"{user}: left out until his files answer",))
                return {}
            self._hooks.turn()
        try:
            looks = worker.result(periodic_images.Looks)
            self._slow.discard(user)
        except WorkerFailed as failed:
            looks = periodic_images.Looks((), (f"{user}: left out: {failed}",))
        self._tell_problems(user, looks.problems)
        if looks.mtbf_seconds is not None:
            rate = Rate(float(looks.mtbf_seconds), self._settings.overhead_percent)
            self._rates[user] = time.monotonic(), rate
        now = time.monotonic()
        self._reached.update({seen.job: now for seen in looks.jobs})
        return {seen.job: seen for seen in looks.jobs}

    def _see_to(
        self,
        server: Server,
        job: Job,
        spec: CheckpointSpec,
        seen: periodic_images.Seen,
        stays: bool,
    ) -> bool:
        """Do what is to be done for a job; whether the server was asked for its checkpoint."""
        if seen.last_ms >= 0:
            self._last.begin(job, seen.last_ms / 1000)
        if seen.of_this and job.id not in self._remembered:
            self._remember(server, job)
        ours = spec.periodic and not (server.is_openpbs and seen.mom_has_timer)
        if not ours or not seen.looked or seen.busy or self._hooks.has(job.id):
            return False
        if job.id in self._unclear:
            self._look_again(job, seen)
            return False
        return self._is_due(job, spec, seen) and self._take(server, job, stays)

    def _remember(self, server: Server, job: Job) -> None:
        """Have what it asked for kept with its images, while the service goes on."""
        name = f"{job.user}: what a job asked for"
        if not self._beside.is_free(name):
            return
        try:
            known = server.job(job.id)
        except TorqueCkptError as silent:
            log.info(f"{job.id}: what it asked for is kept later: {silent}")
            return
        self._remembered.add(job.id)
        worker = periodic_images.begin_to_remember(job, known, self._settings)
        self._beside.begin(name, worker, partial(self._remembered.discard, job.id))

    def _prune(self, server: str | None) -> None:
        """Remove images that the settings no longer keep, when the time for that has come."""
        pause = self._settings.prune_interval_minutes * 60
        if (
            not self._beside.is_free("prune")
            or not pause
            or time.monotonic() < self._pruned + pause
        ):
            return
        self._pruned = time.monotonic()

        def work() -> Done:
            with connect(self._settings, server) as pbs:
                prune.prune(None, self._settings, pbs)
            return Done()

        self._beside.begin("prune", RootWorker(work, _PRUNE_SECONDS))

    def write_metrics(self) -> None:
        """Write the metrics, where the settings name a file.

        No server is needed for it.
        """
        if not self._settings.writes_metrics():
            return
        try:
            data = metrics.text(access.owners(self._settings), self._settings)
            metrics.write(self._settings.metrics_textfile, data)
        except Exception as failure:
            log.warning(f"no figures for Prometheus: {budget.words(failure)}")

    def _figures(self) -> None:
        """Have the metrics written, once a minute."""
        if not self._settings.writes_metrics() or not self._beside.is_free("metrics"):
            return
        if time.monotonic() < self._measured + _MEASURED:
            return
        self._measured = time.monotonic()

        def work() -> Done:
            told: list[str] = []
            data = metrics.text(access.owners(self._settings), self._settings, told.append)
            metrics.write(self._settings.metrics_textfile, data)
            return Done(tuple(told))

        worker = RootWorker(work, _FIGURES_SECONDS, memory_mib=_MEMORY_MIB)
        self._beside.begin("metrics", worker)

    def shutdown(self, server: Server) -> list[str]:
        """Checkpoint every job that can be, due or not: the node goes down."""
        for job, spec in self._here(server.jobs(ASKED_FOR)):
            if spec.checkpointable or (server.is_openpbs and not spec.never):
                self._hooks.add(job)
        return self._hooks.wait()

    def _here(self, everywhere: list[Job]) -> list[tuple[Job, CheckpointSpec]]:
        """The running jobs whose mother superior is this node, each with its -c."""
        found = []
        of_arrays = {job.id: job.checkpoint for job in everywhere if "[]" in job.id}
        self._odd.clear()
        for job in everywhere:
            if not _is_here(job):
                continue
            try:
                found.append((job, checkpoint_spec.parse(_checkpoint(job, of_arrays) or "u")))
            except InvalidSpec as other:
                self._odd.add(job.id)
                self._tell(job.id, str(other))
        return found

    def _is_due(self, job: Job, spec: CheckpointSpec, seen: periodic_images.Seen) -> bool:
        image, now = seen, time.time()
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
        if tried is not None and now < tried.at - 1 + interval:  # whatever its image says
            return False
        jitter = schedule.jitter(job.id, interval, self._settings.jitter_seconds)
        at = schedule.next_due(history, interval, jitter)
        # Once this service had to take one, the MOM is not waited for at the next.
        grace = self._settings.periodic_grace_seconds if tried is None else 0
        if now < at + grace:
            return False
        percent = self._settings.max_frozen_percent
        costly = schedule.too_costly(
            image.frozen_us / 1e6, now - (history.last_image or started), percent
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
        image: periodic_images.Seen,
        history: schedule.History,
    ) -> float:
        """The interval that -c says; for auto, the best one after the last image.

        It is not computed anew before the next image, so that a late one does not move those after
        it. What a first checkpoint will cost nobody knows yet.
        """
        if not spec.auto or history.last_image is None:
            return spec.interval_seconds or self._settings.interval_minutes * 60
        known = self._rates.get(job.user)
        if known is None:  # his journal could not be read
            return self._settings.interval_minutes * 60
        limit, begun = (
            seconds(job.resource("Resource_List", "walltime")),
            periodic_images.started(job),
        )
        left = begun + limit - history.last_image if limit and begun else None
        return interval.until_next(image.frozen_us / 1e6, left, known[1], self._settings)

    def _take(self, server: Server, job: Job, stays: bool) -> bool:
        """Have the server take the checkpoint, so that it knows; else the hook is called.

        A server may refuse, and OpenPBS's has no such call.  One that does not say whether MOM
        takes it is not asked again, nor the hook called, before a service has looked for the image.
        """
        try:
            server.checkpoint(job.id)
        except UNCLEAR as silence:
            self._tell(job.id, f"whether MOM checkpoints it the server does not say: {silence}")
            if stays:
                self._unclear[job.id] = time.time()
            else:
                self._hooks.add(job)  # which finds the image of a MOM that did
            return False
        except (PbsError, SymbolMissing, ConnectionClosed) as refusal:
            self._tell(job.id, f"the server refuses ({refusal}), so the hook is called here")
            self._hooks.add(job)
            return False
        log.info(f"{job.id}: checkpoint was due, asked the server for it")
        return True

    def _look_again(self, job: Job, seen: periodic_images.Seen) -> None:
        """Call the hook where MOM has not begun the checkpoint of which the server did not say."""
        asked = self._unclear[job.id]
        if seen.created >= asked - 1:
            log.info(f"{job.id}: MOM has taken it")
        elif 0 <= time.time() - asked < _UNCLEAR_SECONDS:
            return
        else:
            self._tell(job.id, "MOM has not begun it, so the hook is called here")
            self._hooks.add(job)
        del self._unclear[job.id]

    def _tell_problems(self, about: str, lines: tuple[str, ...]) -> None:
        """Log what goes wrong at an owner's, each line once as long as it does."""
        for line in lines:
            if line not in self._problems.get(about, ()):
                log.warning(line)
        self._problems[about] = lines

    def _tell(self, about: str, line: str) -> None:
        """Log a line once, not at each round."""
        if self._told.get(about) != line:
            self._told[about] = line
            log.info(f"{about}: {line}")

    def _forget_all_but(self, here: Mapping[str, str]) -> None:
        """Forget what is known of jobs, and users, that are not among these."""
        jobs, kept = set(here), {*here.values(), "prune", "metrics"}
        self._last.forget_all_but(jobs)
        self._remembered &= jobs
        self._slow &= set(here.values())
        self._reached = {job: at for job, at in self._reached.items() if job in jobs}
        self._tries = {job: each for job, each in self._tries.items() if job in jobs}
        self._unclear = {job: at for job, at in self._unclear.items() if job in jobs}
        self._problems = {name: each for name, each in self._problems.items() if name in kept}
        known = jobs | self._odd | {"server", "depend"}
        self._told = {about: line for about, line in self._told.items() if about in known}


def _checkpoint(job: Job, of_arrays: Mapping[str, str]) -> str:
    """A job's -c; of a member of an array OpenPBS has it with the array alone."""
    return job.checkpoint or of_arrays.get(re.sub(r"\[[0-9]+\]", "[]", job.id), "")


def _is_here(job: Job) -> bool:
    """Whether it runs, and this node is its mother superior."""
    names = (name.partition(".")[0] for name in (*job.hosts[:1], os.uname().nodename))
    return job.runs and len({*names}) == 1 and bool(job.hosts)


def _concerns(job: Job) -> bool:
    """Whether the service of this node needs to know of a job: it may wait for one that is here."""
    return _is_here(job) or (job.waits and bool(job.text("depend")))
