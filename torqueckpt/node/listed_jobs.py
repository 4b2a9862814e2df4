# SPDX-License-Identifier: MIT
"""Which jobs a node has, by its server's list: by the last one while the server is silent."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping

from torqueckpt import budget
from torqueckpt.batch import checkpoint_spec
from torqueckpt.batch.checkpoint_spec import CheckpointSpec
from torqueckpt.batch.server import Server
from torqueckpt.errors import InvalidSpec, TorqueCkptError
from torqueckpt.identity import ProcessId
from torqueckpt.ifl.records import Job
from torqueckpt.process import proc
from torqueckpt.process.worker import WorkerFailed

# Names that TORQUE and OpenPBS both know: a server refuses the question for one that it does not.
ASKED_FOR = (
    *("Job_Owner", "job_state", "exec_host", "Checkpoint", "session_id", "euser"),
    *("queue", "Variable_List", "Resource_List", "resources_used", "depend"),
)


class ListedJobs:
    """The server's jobs as it listed them last; tell: of the server, or of a job, a line."""

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        self._tell = tell
        self.odd: set[str] = set()  # jobs whose -c nobody can read
        self._listed: tuple[str, list[Job]] | None = None  # by the server, and at which time
        self._leaders: dict[str, ProcessId] = {}  # those that lived then, by job

    def ask(self, server: Server) -> tuple[list[Job], bool]:
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

    def here(self, everywhere: list[Job]) -> list[tuple[Job, CheckpointSpec]]:
        """The running jobs whose mother superior is this node, each with its -c."""
        found = []
        of_arrays = {job.id: job.checkpoint for job in everywhere if "[]" in job.id}
        self.odd.clear()
        for job in everywhere:
            if not _is_here(job):
                continue
            try:
                found.append((job, checkpoint_spec.parse(_checkpoint(job, of_arrays) or "u")))
            except InvalidSpec as other:
                self.odd.add(job.id)
                self._tell(job.id, str(other))
        return found


def concerns_us(job: Job) -> bool:
    """Whether the service of this node needs to know of a job.

    It may wait for one that is here, or be the array of one, with the -c of its members.
    """
    return _is_here(job) or "[]" in job.id or (job.waits and bool(job.text("depend")))


def _is_here(job: Job) -> bool:
    """Whether it runs, and this node is its mother superior."""
    names = (name.partition(".")[0] for name in (*job.hosts[:1], os.uname().nodename))
    return job.runs and len({*names}) == 1 and bool(job.hosts)


def _checkpoint(job: Job, of_arrays: Mapping[str, str]) -> str:
    """A job's -c; of a member of an array OpenPBS has it with the array alone."""
    return job.checkpoint or of_arrays.get(re.sub(r"\[[0-9]+\]", "[]", job.id), "")
