# SPDX-License-Identifier: MIT
"""A checkpoint of a process that somebody names, as chkpnt and cr_checkpoint take it."""

from __future__ import annotations

from torqueckpt.actions.checkpoint import checkpoint
from torqueckpt.batch.pointer import Pointer
from torqueckpt.errors import InvalidJobId, SessionGone
from torqueckpt.identity import job_id
from torqueckpt.process import proc
from torqueckpt.request import CheckpointRequest
from torqueckpt.settings import Settings

_NAMES_OF_A_JOB = ("PBS_JOBID", "LSB_JOBID")


def job_of(pid: int) -> str:
    """The batch job that a process says it belongs to, else an id made from its pid."""
    environment = proc.environment(pid)
    for name in _NAMES_OF_A_JOB:
        try:
            return job_id(environment.get(name, ""))
        except InvalidJobId:
            continue
    return f"{pid}.chkpnt"


def dump(pid: int, job: str, end: bool, owner: str | None, settings: Settings) -> Pointer:
    """An image of the tree below `pid`; called as root.  owner: whose it must be, None for any."""
    found = proc.stat(pid)
    if found is None:
        raise SessionGone(sid=pid)
    made = checkpoint(
        CheckpointRequest(sid=found.session, job_id=job, owner=owner, end=end, exec_pid=pid),
        settings,
    )
    return Pointer(made.lineage, made.generation)
