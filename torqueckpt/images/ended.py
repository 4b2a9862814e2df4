# SPDX-License-Identifier: MIT
"""Tell whether all jobs of a lineage have ended, so that nobody will go on from its images.

That no process lives says little: held jobs have none, nor have those that a crash has ended and
that wait to be resumed.  A job has ended when its batch system says so, on the node that ran it
last.
"""

from __future__ import annotations

import os
from contextlib import nullcontext

from torqueckpt import budget, log
from torqueckpt.batch import server
from torqueckpt.batch.local import control
from torqueckpt.batch.local.spool import Spool
from torqueckpt.batch.server import Server
from torqueckpt.errors import TorqueCkptError
from torqueckpt.files import intent
from torqueckpt.identity import job_id
from torqueckpt.ifl.errors import CallTimedOut, CannotConnect, ConnectionClosed
from torqueckpt.process import privileges
from torqueckpt.records import Live
from torqueckpt.settings import Settings
from torqueckpt.store import chain, journal, marks
from torqueckpt.store.lineage import Lineage, lives_here
from torqueckpt.store.store import OwnerStore


class JobState:
    """Tells whether lineages have ended, by this node's processes and the batch systems.

    With server None only the local batch system is asked.  Used while acting as the lineage's
    owner.
    """

    def __init__(self, settings: Settings, server: Server | None) -> None:
        self._spool = Spool(settings.local_home)
        self._server = server
        self._owners_waiting: set[str] | None = None

    def has_ended(self, owner_store: OwnerStore, lineage: Lineage) -> bool:
        """Whether all jobs of the lineage have ended; False when in doubt.

        The caller holds its lock.  InvalidJobId when its owner has written down what is no job.
        """
        try:
            live = lineage.live()
        except TorqueCkptError as torn:
            log.warning(str(torn))
            return False
        if live is None or live.host != os.uname().nodename or intent.pending(lineage.directory):
            return False
        if lives_here(live) is not None:
            return False
        jobs = {job_id(live.job), *map(job_id, owner_store.jobs_of(lineage))}
        if self._is_local(live, jobs):
            return not any(map(self._local_mom_lives, jobs)) and not _held(owner_store, jobs)
        if self._server is None:
            return False
        wanted = marks.is_wanted(lineage) or _goes_on(owner_store, jobs)
        try:
            with privileges.acting_as_root() if os.getuid() == 0 else nullcontext():
                said = all(map(self._says_ended, jobs))
                return said and not (wanted and self._waits(self._server, owner_store))
        except (CallTimedOut, ConnectionClosed, CannotConnect) as silent:
            log.warning(f"{self._server.server} is not asked any more: {silent}")
            self._server = None
            return False
        except TorqueCkptError as refusal:  # of a question about this owner's jobs
            log.warning(f"{lineage.name}: {refusal}")
            return False

    def _says_ended(self, job: str) -> bool:
        budget.spend()
        return self._server is not None and server.server_says_ended(self._server, job)

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
            if may_see != "True":  # then it shows root's own only
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


def _held(owner_store: OwnerStore, jobs: set[str]) -> bool:
    latest = (journal.last(owner_store, "job", job) for job in jobs)
    return any(each.get("event") == "checkpoint" and each.get("ended") is True for each in latest)
