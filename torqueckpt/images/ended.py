# SPDX-License-Identifier: MIT
"""Tell whether all jobs of a lineage have ended, so that nobody will go on from its images.

That no process lives says little: held jobs have none, nor have those that a crash has ended and
that wait to be resumed.  A job has ended when its batch system says so, on the node that ran it
last.  Whatever removes images asks here.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple

from torqueckpt import budget, log
from torqueckpt.batch import server
from torqueckpt.batch.local import control
from torqueckpt.batch.local.spool import Spool
from torqueckpt.batch.lsf import bjobs
from torqueckpt.batch.server import Server
from torqueckpt.errors import TorqueCkptError
from torqueckpt.files import intent
from torqueckpt.identity import Owner, job_id
from torqueckpt.ifl.errors import CallTimedOut, CannotConnect, ConnectionClosed
from torqueckpt.process import privileges
from torqueckpt.records import Live
from torqueckpt.settings import Settings
from torqueckpt.store import chain, claim, journal, marks
from torqueckpt.store.lineage import Lineage, lives_here
from torqueckpt.store.store import OwnerStore


class Silent(NamedTuple):
    """Why the batch server, and LSF, are not asked any more; "" for who answers."""

    server: str = ""
    lsf: str = ""


_ALL_ANSWER = Silent()


class JobState:
    """Tells whether lineages have ended, by this node's processes and the batch systems.

    connect gives the batch server, once it is wanted; None, or an error, when nobody can be asked:
    then only jobs of the local batch system can have ended.  silent: who is not to be asked, as
    another JobState has found.  Used while acting as the lineage's owner.
    """

    def __init__(
        self,
        settings: Settings,
        connect: Callable[[], Server | None],
        silent: Silent = _ALL_ANSWER,
    ) -> None:
        self._spool = Spool(settings.local_home)
        self._connect: Callable[[], Server | None] | None = None if silent.server else connect
        self._server: Server | None = None
        self._silent, self._lsf_silent = silent
        self._owners_waiting: set[str] | None = None

    @property
    def silent(self) -> Silent:
        """Who has been found to be silent."""
        return Silent(self._silent, self._lsf_silent)

    def has_ended(self, owner_store: OwnerStore, lineage: Lineage) -> bool:
        """Whether all jobs of the lineage have ended; False when in doubt.

        The caller holds its lock.  InvalidJobId when its owner has written down what is no job.
        """
        return not self._doubt(owner_store, lineage)

    def needed(self, owner_store: OwnerStore, lineage: Lineage) -> str:
        """Why the newest image stays although its owner wants it to go; "" when nobody needs it.

        As has_ended(), but without a time of grace: a job that was held waits, and one whose resume
        job was written, whatever its server tells at this moment.
        """
        going_on = claim.elsewhere(lineage.directory)
        if going_on is not None:
            since = claim.clock(going_on.since)
            return f"job {going_on.job} on {going_on.host} restarts it since {since}"
        held = journal.waits(owner_store, lineage)
        if held:
            return f"job {held} was ended with it, as by a hold, and has not run since"
        if marks.is_wanted(lineage):
            return f"a resume job of {lineage.first_job} was written, and has not run yet"
        return self._doubt(owner_store, lineage)

    def _doubt(self, owner_store: OwnerStore, lineage: Lineage) -> str:
        """Why it is not known that all jobs have ended, naming a job; "" when it is."""
        try:
            live = lineage.live()
        except TorqueCkptError as torn:
            log.warning(str(torn))
            return str(torn)
        if live is None:
            return f"no record tells where job {lineage.first_job} runs"
        if live.host != os.uname().nodename:
            return f"job {live.job} ran last on {live.host}, where it is known whether it has ended"
        if intent.pending(lineage.directory):
            return f"a restart of job {live.job} was begun, and is neither done nor undone"
        alive = lives_here(live)
        if alive is not None:
            return f"job {live.job} runs here, as process {alive.pid}"
        jobs = {job_id(live.job), *map(job_id, owner_store.jobs_of(lineage))}
        if self._is_local(live, jobs):
            there = sorted(filter(self._local_mom_lives, jobs))
            if there:
                return f"the `torqueckpt run` of job {there[0]} has not ended"
            held = journal.waits(owner_store, lineage)
            return f"job {held} was ended with it and has not run since" if held else ""
        if all(map(bjobs.is_lsfs, jobs)):
            return self._doubt_of_lsf(owner_store, lineage, live.job, jobs)
        return self._doubt_of_server(owner_store, lineage, jobs)

    def _doubt_of_lsf(
        self, owner_store: OwnerStore, lineage: Lineage, last: str, jobs: set[str]
    ) -> str:
        """Why it is not known that jobs of LSF have ended for good, as `last` has that ran last.

        LSF calls a job ended that its host has taken along; only its starter knows better.
        """
        held = journal.waits(owner_store, lineage)
        if held:
            return f"job {held} was ended with it and has not run since"
        is_over = journal.end_of(owner_store, last).get("how") in journal.OVER
        owner = privileges.owner_of_uid(os.geteuid())
        for job in sorted(jobs):
            state = self._state_in_lsf(job, owner)
            if state not in ("DONE", "EXIT", "", None):
                return f"LSF says that job {job} is {state}"
            is_over = is_over or (job == last and state == "DONE")
        if not is_over and self._lsf_silent:
            return f"whether {last} has ended is not known: {self._lsf_silent}"
        if not is_over:
            return f"job {last} may have been lost with its host: nobody has noted how it ended"
        if marks.is_wanted(lineage) and self._may_wait_in_lsf(owner):
            return f"a job that waits may be the resume job of {lineage.first_job}"
        return ""

    def _state_in_lsf(self, job: str, owner: Owner) -> str | None:
        """None when LSF does not answer, which is found out once."""
        budget.spend()
        try:
            return None if self._lsf_silent else bjobs.state(job, owner)
        except TorqueCkptError as silent:
            log.warning(f"LSF is not asked any more: {silent}")
            self._lsf_silent = str(silent)
            return None

    def _may_wait_in_lsf(self, owner: Owner) -> bool:
        try:
            return bool(self._lsf_silent) or bjobs.has_waiting(owner)
        except TorqueCkptError:
            return True

    def _doubt_of_server(self, owner_store: OwnerStore, lineage: Lineage, jobs: set[str]) -> str:
        wanted = marks.is_wanted(lineage) or _goes_on(owner_store, jobs)
        try:
            with privileges.acting_as_root() if os.getuid() == 0 else nullcontext():
                asked = self._asked()
                if asked is None:
                    named = ", ".join(sorted(jobs))
                    why = self._silent or "no batch server was asked"
                    return f"whether {named} has ended is not known: {why}"
                for job in sorted(jobs):
                    budget.spend()
                    if not server.server_says_ended(asked, job):
                        return f"{asked.server} does not say that job {job} has ended"
                if wanted and self._waits(asked, owner_store):
                    return f"a job that waits may be the resume job of {lineage.first_job}"
                return ""
        except (CallTimedOut, ConnectionClosed, CannotConnect) as silent:
            log.warning(f"the batch server is not asked any more: {silent}")
            self._server, self._silent = None, str(silent)
            return f"whether {', '.join(sorted(jobs))} has ended is not known: {silent}"
        except TorqueCkptError as refusal:  # of a question about this owner's jobs
            log.warning(f"{lineage.name}: {refusal}")
            return f"whether {', '.join(sorted(jobs))} has ended is not known: {refusal}"

    def _asked(self) -> Server | None:
        """The server, connected to at the first question."""
        connect, self._connect = self._connect, None
        if connect is not None:
            try:
                self._server = connect()
            except TorqueCkptError as silent:
                self._silent = str(silent)
        return self._server

    def _is_local(self, live: Live, jobs: set[str]) -> bool:
        """Whether `torqueckpt run` ran them all here: the last job's output was in its spool."""
        spool = f"{self._spool.home / 'spool'}/"
        here = all(server.server_of(job) == os.uname().nodename for job in jobs)
        return here and any(stream.path.startswith(spool) for stream in live.streams)

    def _local_mom_lives(self, job: str) -> bool:
        return control.listens(self._spool.socket(job))

    def _waits(self, server: Server, owner_store: OwnerStore) -> bool:
        """Whether a job of the owner's that waits at the server may be the lineage's resume job."""
        if self._owners_waiting is None:
            may_see = server.server_status(["query_other_jobs"]).text("query_other_jobs")
            if os.getuid() == 0 and may_see != "True":  # then it shows root's own only
                return True
            listed = server.jobs(["Job_Owner", "job_state"])
            self._owners_waiting = {job.owner for job in listed if job.waits}
        return owner_store.path.name in self._owners_waiting


def _goes_on(owner_store: OwnerStore, jobs: set[str]) -> bool:
    """Whether one of these jobs is a link of a chain that goes on: the next link may wait long."""
    for each in chain.of_owner(owner_store):
        if any(map(each.has, jobs)):
            try:
                if each.end() is None:
                    return True
            except TorqueCkptError as torn:
                log.warning(str(torn))
                return True
    return False
