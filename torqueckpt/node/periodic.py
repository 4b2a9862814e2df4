# SPDX-License-Identifier: MIT
"""The periodic service of a node: it takes checkpoints that are due and that nobody else took.

Many releases of TORQUE never arm MOM's own timer.  Where it works it comes first, and this finds
nothing to do: what is due has a time of grace.  OpenPBS's timer works, but not for members of
arrays, nor once MOM has restarted a job in place: there those jobs alone are this service's.  Times
are seconds of the epoch: the server's are.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from functools import partial

from torqueckpt import budget, log
from torqueckpt.batch.checkpoint_spec import CheckpointSpec
from torqueckpt.batch.server import Server
from torqueckpt.chain import server_jobs, walltime
from torqueckpt.errors import NeedsRoot, TorqueCkptError
from torqueckpt.ifl.errors import UNCLEAR, ConnectionClosed, PbsError, SymbolMissing
from torqueckpt.ifl.records import Job
from torqueckpt.node import housekeeping, periodic_images
from torqueckpt.node.background import Background
from torqueckpt.node.due import Due
from torqueckpt.node.hook_calls import HookCalls
from torqueckpt.node.housekeeping import Housekeeping
from torqueckpt.node.listed_jobs import ASKED_FOR, ListedJobs, concerns_us
from torqueckpt.node.owner_looks import OwnerLooks
from torqueckpt.node.periodic_images import Seen
from torqueckpt.node.server_workers import ServerWorkers
from torqueckpt.node.told_once import ToldOnce
from torqueckpt.settings import Settings

_TURN_SECONDS = 0.5
_UNCLEAR_SECONDS = 20.0  # in which a MOM that was asked for a checkpoint has begun it


class Periodic:
    """The service of one node; keeps what it needs to know between two rounds.

    Jobs are looked at by their owner, and whatever goes wrong with one owner's is told and costs
    nobody else's their checkpoints.
    """

    def __init__(self, settings: Settings) -> None:
        if os.getuid() != 0:
            raise NeedsRoot(what="the periodic service", remedy="run it as root, or by its unit")
        self._settings = settings
        self._unclear: dict[str, float] = {}  # when the server did not say whether MOM takes one
        self._remembered: set[str] = set()
        self._told = ToldOnce()
        self._tell = self._told.tell
        self._last = walltime.Waiting(settings)
        self._hooks = HookCalls(settings, self._tell)
        self._listed = ListedJobs(self._tell)
        self._looks = OwnerLooks(settings, self._told.tell_problems, self._hooks.turn)
        self._due = Due(settings, self._looks.rate_of, self._tell)
        self._background = Background(self._told.tell_problems)
        self._housekeeping = Housekeeping(settings, self._background)

    def serve(self, server: str | None) -> None:
        """Run for ever; a server that does not answer is asked again at the next round."""
        pbs = ServerWorkers(self._settings, server, concerns_us, self._hooks.turn)
        while True:
            try:
                self.round(pbs, stays=True)
                if not pbs.is_silent:
                    self._housekeeping.prune(server)
            except Exception as failure:
                self._tell("server", budget.words(failure))
            self._housekeeping.measure()
            until = time.monotonic() + self._settings.periodic_poll_seconds
            while time.monotonic() < until:
                self._hooks.turn()
                time.sleep(min(_TURN_SECONDS, self._settings.periodic_poll_seconds))

    def round(self, server: Server, stays: bool = False) -> list[str]:
        """Look at all jobs of this node once; gives the ids of those that were checkpointed.

        stays: as a service does, which waits for last checkpoints, and not for its hooks.
        """
        everywhere, answers = self._listed.ask(server)
        here = self._listed.here(everywhere)
        self._forget_all_but({job.id: job.user for job, _ in here})
        taken = self._hooks.turn()
        for user, jobs in self._looks.by_user(here).items():
            last = {job.id for job, spec in jobs if not (spec.never or self._last.has(job))}
            try:
                seen = self._looks.look(user, jobs, server.is_openpbs, last if stays else (), stays)
            except Exception as failure:
                self._told.tell_problems(user, (budget.words(failure),))
                continue
            for job, spec in jobs:
                try:
                    if job.id in seen and self._see_to(server, job, spec, seen[job.id], stays):
                        taken.append(job.id)
                except Exception as failure:
                    self._tell(job.id, budget.words(failure))
        if not stays:
            self._background.wait()
            return taken + self._hooks.wait()
        if answers:
            ids = {job.id for job, _ in here}
            server_jobs.move_dependents(server, everywhere, ids, partial(self._tell, "depend"))
        return taken + self._hooks.turn()

    def shutdown(self, server: Server) -> list[str]:
        """Checkpoint every job that can be, due or not: the node goes down."""
        for job, spec in self._listed.here(server.jobs(ASKED_FOR)):
            if spec.checkpointable or (server.is_openpbs and not spec.never):
                self._hooks.add(job)
        return self._hooks.wait()

    def _see_to(
        self, server: Server, job: Job, spec: CheckpointSpec, seen: Seen, stays: bool
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
        return self._due.is_due(job, spec, seen) and self._take(server, job, stays)

    def _remember(self, server: Server, job: Job) -> None:
        """Have what it asked for kept with its images, while the service goes on."""
        name = f"{job.user}: what a job asked for"
        if not self._background.is_free(name):
            return
        try:
            known = server.job(job.id)
        except TorqueCkptError as silent:
            log.info(f"{job.id}: what it asked for is kept later: {silent}")
            return
        self._remembered.add(job.id)
        worker = periodic_images.begin_to_remember(job, known, self._settings)
        self._background.begin(name, worker, partial(self._remembered.discard, job.id))

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

    def _look_again(self, job: Job, seen: Seen) -> None:
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

    def _forget_all_but(self, here: Mapping[str, str]) -> None:
        """Forget what is known of jobs, and users, that are not among these."""
        jobs, users = set(here), set(here.values())
        self._last.forget_all_but(jobs)
        self._due.forget_all_but(jobs)
        self._looks.forget_all_but(jobs, users)
        self._remembered &= jobs
        self._unclear = {job: at for job, at in self._unclear.items() if job in jobs}
        about = jobs | self._listed.odd | {"server", "depend"}
        self._told.forget_all_but(about, users | {*housekeeping.NAMES})
