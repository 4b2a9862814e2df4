# SPDX-License-Identifier: MIT
"""The periodic service of a node: takes the checkpoints that are due and that nobody took.

Many releases of TORQUE never arm MOM's own timer.  Where it works it comes first, and this finds
nothing to do: what is due has a time of grace.  OpenPBS's timer works, but stands still once MOM
has restarted a job in place: there those jobs alone are this service's.  Times are seconds of the
epoch: the server's are.
"""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from torqueckpt import log, paths, run
from torqueckpt.actions import over, prune, remembered
from torqueckpt.batch import asked, checkpoint_spec, due
from torqueckpt.batch.checkpoint_spec import CheckpointSpec
from torqueckpt.batch.server import connect
from torqueckpt.errors import InvalidSpec, NeedsRoot, StoreMissing, TorqueCkptError
from torqueckpt.ifl.errors import PbsError, SymbolMissing
from torqueckpt.ifl.records import Job
from torqueckpt.process import become, proc
from torqueckpt.settings import Settings
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import Store

# Names that TORQUE and OpenPBS both know: a server refuses the question for one that it does not.
ASKED_FOR = ("Job_Owner", "job_state", "exec_host", "Checkpoint", "session_id", "euser")


class Server(Protocol):
    """What is asked of the server: torqueckpt.ifl.Connection has it."""

    @property
    def is_openpbs(self) -> bool: ...

    def jobs(self, attributes: Iterable[str] = (), *, where: str = "") -> list[Job]: ...

    def job(self, job_id: str) -> Job: ...

    def checkpoint(self, job_id: str) -> None: ...


@dataclass(frozen=True)
class _Try:
    """The last time that a checkpoint of a job was asked for."""

    at: float
    failures: int


@dataclass(frozen=True)
class _Image:
    """A job's newest image; created 0 when there is none."""

    created: float = 0.0
    frozen_seconds: float = 0.0


class Periodic:
    """One node's service; keeps what it needs to know between two rounds."""

    def __init__(self, settings: Settings) -> None:
        if os.getuid() != 0:
            raise NeedsRoot(what="the periodic service", remedy="run it as root, or by its unit")
        self._settings = settings
        self._tries: dict[str, _Try] = {}
        self._told: dict[str, str] = {}
        self._remembered: set[str] = set()
        self._odd: set[str] = set()  # jobs whose -c nobody can read
        self._pruned = -math.inf

    def serve(self, server: str | None) -> None:
        """For ever; a server that does not answer is asked again at the next round."""
        while True:
            try:
                with connect(self._settings, server) as pbs:
                    self.round(pbs)
                    self._prune(pbs)
                self._tell("server", "the server answers")
            except TorqueCkptError as failure:
                self._tell("server", str(failure))
            time.sleep(self._settings.periodic_poll_seconds)

    def round(self, server: Server) -> list[str]:
        """Look at all jobs of this node once; gives the ids of those it had checkpointed."""
        here = self._jobs(server)
        self._forget_all_but({job.id for job, _ in here} | self._odd)
        for job, _ in here:
            self._remember(server, job)
        ours = [
            (job, spec)
            for job, spec in here
            if spec.periodic and not (server.is_openpbs and self._mom_has_timer(job))
        ]
        return [job.id for job, spec in ours if self._is_due(job, spec) and self._take(server, job)]

    def _prune(self, server: over.Server) -> None:
        """Once in a while remove the images that the settings no longer keep."""
        pause = self._settings.prune_interval_minutes * 60
        if not pause or time.monotonic() < self._pruned + pause:
            return
        self._pruned = time.monotonic()
        prune.prune(None, self._settings, server)

    def shutdown(self, server: Server) -> list[str]:
        """The node goes down: every job that can be is checkpointed now, due or not."""
        here = [
            job
            for job, spec in self._jobs(server)
            if spec.checkpointable or (server.is_openpbs and not spec.never)
        ]
        return [job.id for job in here if self._call_hook(job)]

    def _jobs(self, server: Server) -> list[tuple[Job, CheckpointSpec]]:
        """Running jobs whose mother superior is this node, each with its -c."""
        found = []
        self._odd.clear()
        for job in server.jobs(ASKED_FOR):
            if job.state != "R" or not job.hosts or not _is_here(job.hosts[0]):
                continue
            try:
                found.append((job, checkpoint_spec.parse(job.checkpoint or "u")))
            except InvalidSpec as other:
                self._odd.add(job.id)
                self._tell(job.id, str(other))
        return found

    def _is_due(self, job: Job, spec: CheckpointSpec) -> bool:
        now, image = time.time(), self._newest_image(job)
        if image is None:
            return False
        started = min(_started(job) or image.created or now, now)
        interval = spec.interval_seconds or self._settings.interval_minutes * 60
        tried = self._tries.get(job.id)
        if tried is not None and tried.at > now:  # the clock was set back since, as for images
            tried = None
        failures = 0
        if tried is not None and image.created < tried.at - 1:
            failures = tried.failures + 1
        history = due.History(
            started=started,
            last_image=image.created if started <= image.created <= now + 1 else None,
            last_try=tried.at if tried is not None else None,
            failures=failures,
        )
        at = due.next_due(history, interval, self._settings.jitter_seconds)
        # Once this service had to take one, the MOM is not waited for at the next.
        grace = self._settings.periodic_grace_seconds if tried is None else 0
        if now < at + grace:
            return False
        percent = self._settings.max_frozen_percent
        costly = due.too_costly(
            image.frozen_seconds, now - (history.last_image or started), percent
        )
        if costly:
            self._tell(job.id, f"checkpoint skipped: {costly}")
            return False
        self._tries[job.id] = _Try(now, failures)
        return True

    def _take(self, server: Server, job: Job) -> bool:
        """By the server, so that it knows; by the hook where it refuses, or, as OpenPBS's, has no
        such call."""
        try:
            server.checkpoint(job.id)
        except (PbsError, SymbolMissing) as refusal:
            self._tell(job.id, f"the server refuses ({refusal}), so the hook is called here")
            return self._call_hook(job)
        log.info(f"{job.id}: checkpoint was due, asked the server for it")
        return True

    def _call_hook(self, job: Job) -> bool:
        program = paths.program("sbin", "mom-checkpoint")
        words = [str(job.session_id or "-"), job.id, job.text("euser") or job.owner]
        # It waits for the lock, dumps, and writes a large image to the disk.
        limit = self._settings.lock_timeout_seconds + 4 * self._settings.dump_timeout_seconds
        finished = run.run([str(program), *words], timeout_seconds=limit)
        if not finished.ok:
            self._tell(job.id, f"checkpoint failed: {finished.last_line()}")
            return False
        log.info(f"{job.id}: checkpointed")
        return True

    def _remember(self, server: Server, job: Job) -> None:
        """Keep what it asked for beside its images, once it has some."""
        if job.id in self._remembered:
            return
        try:
            with self._lineage(job) as lineage:
                if lineage is not None and _has_image_of(lineage, job):
                    with become.acting_as_root():
                        directives = asked.of_server(server.job(job.id))
                    remembered.keep(lineage, job.id, directives)
                    self._remembered.add(job.id)
        except (TorqueCkptError, OSError) as failure:
            self._tell(job.id, str(failure))

    def _newest_image(self, job: Job) -> _Image | None:
        """None while a checkpoint or restart of the job is under way: a large one takes minutes."""
        try:
            with self._lineage(job) as lineage:
                if lineage is not None and lineage.is_locked():
                    return None
                if lineage is not None and lineage.numbers():
                    made = lineage.generation(lineage.numbers()[-1]).summary()
                    return _Image(made.created, made.frozen_us / 1e6)
        except (TorqueCkptError, OSError) as failure:
            self._tell(job.id, str(failure))
        return _Image()

    def _mom_has_timer(self, job: Job) -> bool:
        """OpenPBS: not once the job's session leader is our own restart, whose walltime stands."""
        try:
            with self._lineage(job) as lineage:
                live = lineage.live() if lineage is not None else None
                if live is not None and live.restored and live.job == job.id:
                    keeper = proc.alive(live.keeper)
                    return keeper is None or keeper.session != keeper.pid
        except (TorqueCkptError, OSError) as failure:
            self._tell(job.id, str(failure))
        return True

    @contextmanager
    def _lineage(self, job: Job) -> Iterator[Lineage | None]:
        """Its lineage, acting as its owner; None when it has no image yet."""
        who = become.owner(job.text("euser") or job.owner)
        with become.acting_as(who):
            try:
                mine = Store.open(self._settings.store).owner(who)
            except StoreMissing:
                yield None
                return
            yield mine.lineage_of(job.id)

    def _tell(self, about: str, line: str) -> None:
        """Log a decision once, not at each round."""
        if self._told.get(about) != line:
            self._told[about] = line
            log.info(f"{about}: {line}")

    def _forget_all_but(self, jobs: set[str]) -> None:
        self._remembered &= jobs
        self._tries = {job: each for job, each in self._tries.items() if job in jobs}
        self._told = {
            about: line for about, line in self._told.items() if about in jobs | {"server"}
        }


def _is_here(host: str) -> bool:
    return host.partition(".")[0] == socket.gethostname().partition(".")[0]


def _has_image_of(lineage: Lineage, job: Job) -> bool:
    """Whether this very job has one: a server that was reset gives the same number again."""
    numbers = lineage.numbers()
    return bool(numbers) and lineage.generation(numbers[-1]).summary().created >= _started(job)


def _started(job: Job) -> float:
    """When its session leader started; 0 when that is gone, as after a restart in place."""
    leader = proc.stat(job.session_id) if job.session_id else None
    return float(proc.start_epoch(leader.id)) if leader is not None else 0.0
