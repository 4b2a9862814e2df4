# SPDX-License-Identifier: MIT
"""Whether a tree can be dumped and would come back, told before it matters."""

from __future__ import annotations

from typing import NamedTuple

from torqueckpt import checkpointers
from torqueckpt.checkpoint import file_findings, inspection
from torqueckpt.checkpoint.target import find_tree
from torqueckpt.checkpointers.finding import REFUSED, Finding
from torqueckpt.errors import NothingToLookAt, StoreMissing, UnknownJob
from torqueckpt.identity import Owner, job_id
from torqueckpt.images import catalogue
from torqueckpt.process import job_processes, privileges, proc, tree
from torqueckpt.records import Live
from torqueckpt.request import CheckpointRequest
from torqueckpt.settings import Settings


class Report(NamedTuple):
    """What `torqueckpt preflight` tells; its fields are those of --json (torqueckpt(1))."""

    job: str
    pid: int
    owner: str
    processes: int
    dumpable: bool
    findings: tuple[Finding, ...]


def preflight(what: str, settings: Settings, user: str | None) -> Report:
    """Look at a job (of `user`), or at the tree of a process; else NothingToLookAt."""
    checkpointer = checkpointers.load(settings.checkpointer, settings)
    uid = privileges.owner(user).uid if user is not None else None
    leader = job_processes.leader_of_job(job_id(what), uid)
    root = leader or (proc.stat(int(what)) if what.isdigit() else None)
    who = proc.credentials(root.pid) if root is not None else None
    if root is None or who is None:
        raise NothingToLookAt(what=what)
    owner = privileges.owner_of_uid(who.uids[0])
    with privileges.acting_as(owner):
        if leader is not None:
            request = CheckpointRequest(leader.pid, what)
            target = find_tree(_live(what, owner, settings), request, settings)
            members, links, above = target.tree, target.open_files, target.leader_pid
        else:
            members = tree.below(root)
            links, above = tree.open_links(members), root.pid
        tree.check(members, owner)
        found = [
            *inspection.everything(checkpointer, members, links, above, owner),
            *file_findings.of_tree(members, above, settings),
        ]
    return Report(
        job=what if leader is not None else "",
        pid=members[0].pid,
        owner=owner.name,
        processes=len(members),
        dumpable=not any(each.severity == REFUSED for each in found),
        findings=tuple(found),
    )


def _live(job: str, owner: Owner, settings: Settings) -> Live | None:
    """The record of who runs the job, which a restarted job's tree is found by."""
    try:
        with catalogue.lineage_of(job, owner, settings) as (_, lineage):
            return lineage.live()
    except (UnknownJob, StoreMissing):
        return None
