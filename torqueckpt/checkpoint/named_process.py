# SPDX-License-Identifier: MIT
"""A checkpoint of a process that somebody names: chkpnt, cr_checkpoint, and LSF's job starter."""

from __future__ import annotations

import os

from torqueckpt.batch.pointer import Pointer
from torqueckpt.checkpoint.checkpoint import checkpoint
from torqueckpt.errors import InvalidJobId, SessionGone
from torqueckpt.identity import job_id
from torqueckpt.images import catalogue
from torqueckpt.process import job_processes, privileges, proc
from torqueckpt.request import CheckpointRequest
from torqueckpt.settings import Settings
from torqueckpt.store import journal


def job_of(pid: int) -> str:
    """The batch job that a process says it belongs to, else an id made from its pid."""
    try:
        return job_id(job_processes.job_of(pid))
    except InvalidJobId:
        return f"{pid}.chkpnt"


def dump(
    pid: int,
    job: str,
    end: bool,
    owner: str | None,
    settings: Settings,
    refuse_connections: bool = False,
) -> Pointer:
    """An image of the tree below `pid`; called as root.  owner: whose it must be, None for any."""
    found = proc.stat(pid)
    if found is None:
        raise SessionGone(sid=pid)
    asked = CheckpointRequest(
        sid=found.session,
        job_id=job,
        owner=owner,
        end=end,
        exec_pid=pid,
        refuse_connections=refuse_connections,
    )
    made = checkpoint(asked, settings)
    return Pointer(made.lineage, made.generation)


def why_not_restarted(lineage: str, settings: Settings) -> tuple[int, str]:
    """Exit code and reason of the caller's last restart of a lineage, (0, "") when it worked."""
    who = privileges.owner_of_uid(os.getuid())
    with catalogue.lineage_of(lineage, who, settings) as (mine, _):
        noted = journal.last(mine, "lineage", lineage)
    code, reason = noted.get("code"), noted.get("reason")
    return (code if isinstance(code, int) else 0, str(reason or ""))
