# SPDX-License-Identifier: MIT
"""Find what forbids a dump of a tree, or would be otherwise after a restart, before it matters.

Everything is read as the job's owner: what he may not look at, a checkpointer that runs as he does
may not either.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from torqueckpt import file_rules, log
from torqueckpt.checkpoint import dumping, left_out
from torqueckpt.checkpoint.target import Target, find_tree
from torqueckpt.checkpointers import registry
from torqueckpt.checkpointers.base import Checkpointer
from torqueckpt.checkpointers.criu import sockets
from torqueckpt.errors import BadFileRule, CannotBeDumped, NothingToLookAt
from torqueckpt.files import held, record, temporary
from torqueckpt.files.held import Held
from torqueckpt.files.temporary import Temporary
from torqueckpt.findings import HAZARD, NOTE, REFUSED, Finding
from torqueckpt.identity import Owner, job_id
from torqueckpt.process import job_processes, monotonic_waits, privileges, proc, resources, tree
from torqueckpt.process.resources import Holdings, Links, finding
from torqueckpt.records import Live
from torqueckpt.request import CheckpointRequest
from torqueckpt.settings import Settings
from torqueckpt.store import access

_PAUSES = (0.004, 0.008, 0.016, 0.05, 0.1, 0.25)  # seconds

_TOLD = 5  # reasons: MOM makes a job's comment of 4 kB at most, and a tree may have thousands

_ACCESS = os.O_RDONLY | os.O_WRONLY | os.O_RDWR


class Report(NamedTuple):
    """The result of `torqueckpt preflight`; its fields are those of --json (torqueckpt(1))."""

    job: str
    pid: int
    owner: str
    processes: int
    dumpable: bool
    findings: tuple[Finding, ...]


def preflight(what: str, settings: Settings, user: str | None) -> Report:
    """Look at a job (of `user`), or at a process's tree; NothingToLookAt when there is none."""
    checkpointer = registry.load(settings.checkpointer, settings)
    uid = privileges.owner(user).uid if user is not None else None
    leader = job_processes.leader_of_job(job_id(what), uid)
    root = leader or (proc.stat(int(what)) if what.isdigit() else None)
    credentials = proc.credentials(root.pid) if root is not None else None
    if root is None or credentials is None:
        raise NothingToLookAt(what=what)
    owner = privileges.owner_of_uid(credentials.uids[0])
    with privileges.acting_as(owner):
        if leader is not None:
            request = CheckpointRequest(leader.pid, what)
            target = find_tree(_live(what, owner, settings), request, settings)
            members, links, above = target.tree, target.open_files, target.leader_pid
            lost = _are_lost(checkpointer, target)
        else:
            members = tree.below(root)
            links, above, lost = tree.open_links(members), root.pid, False
        tree.check(members, owner)
        found = [
            *everything(checkpointer, members, links, above, owner, settings.leave_out, lost),
            *of_tree(members, above, settings),
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
    """The live record by which a restarted job's tree is found; None when there is none."""
    with access.lineage_if_any(job, owner, settings) as found:
        return found[1].live() if found is not None else None


def before_dump(
    checkpointer: Checkpointer,
    target: Target,
    refuse_connections: bool = False,
    leave_out: tuple[str, ...] = (),
) -> Target:
    """Refuse, before the tree is frozen, what the checkpointer would refuse, or the image lack.

    Much of that lasts a moment only (a connection that is being closed), so it is looked at again;
    gives the tree as it was seen last.  Where each look finds another connection, it is left to the
    dump to see whether there is one when the tree is frozen.
    """
    members, links = target.tree, target.open_files
    looks: list[set[str]] = []
    for pause in (*_PAUSES, None):
        held = resources.of_tree(members, links)
        lost = _are_lost(checkpointer, target)
        strays = left_out.strays(members, target.leader_pid, target.owner, leave_out, lost)
        found = [
            *_findings(checkpointer, members, held, leave_out, refuse_connections),
            *(each for each in strays if each.severity == REFUSED),  # else tell_strays() does
        ]
        against = [
            each
            for each in found
            if each.severity == REFUSED or (refuse_connections and sockets.is_connection(each))
        ]
        refused = [str(each) for each in against]
        looks.append(set(refused))
        last = pause is None and not set.intersection(*looks)
        if not refused or (last and all(map(checkpointer.refuses_itself, against))):
            again = target.last is not None
            _tell(each for each in found if not (again and each.severity == NOTE))
            return target._replace(tree=members, open_files=links, other_names=held.other_names)
        if pause is not None:
            time.sleep(pause)
            members = tree.below(target.root)
            links = tree.open_links(members)
    more = f"; and {len(refused) - _TOLD} more" if len(refused) > _TOLD else ""
    reasons = "; ".join(refused[:_TOLD]) + more
    raise CannotBeDumped(what=f"job {target.live.job}", reasons=reasons)


def tell_strays(target: Target) -> int:
    """Log the job's processes that its image lacks; gives their number.

    The tree runs meanwhile.
    """
    found = list(left_out.strays(target.tree, target.leader_pid, target.owner, (), lost=False))
    _tell(found)
    return len(found)


def everything(
    checkpointer: Checkpointer,
    members: list[proc.Stat],
    links: Links,
    above: int,
    owner: Owner,
    leave_out: tuple[str, ...],
    lost: bool,
) -> list[Finding]:
    """All findings on a tree; `above` is its session leader, or whoever started it."""
    return [
        *_findings(checkpointer, members, resources.of_tree(members, links), leave_out),
        *left_out.strays(members, above, owner, leave_out, lost),
        *_waiting(members),
    ]


def _are_lost(checkpointer: Checkpointer, target: Target) -> bool:
    """Whether processes outside of the tree are the job's, and no image has them.

    A process that somebody named may be one of many in its session.
    """
    named = target.named and job_processes.job_of(target.root.pid) != target.live.job
    return not named and not checkpointer.holds_connections


def _findings(
    checkpointer: Checkpointer,
    members: list[proc.Stat],
    held: Holdings,
    leave_out: tuple[str, ...],
    connections: bool = False,
) -> list[Finding]:
    """What the checkpointer finds.

    connections: also those to other hosts, which it may not mind.
    """
    found = [*left_out.elsewhere(members, held, leave_out), *checkpointer.findings(held)]
    look = connections and not checkpointer.holds_connections
    outside = sockets.tcp_connections(held) if look else ()
    return [*found, *(each for each in outside if each not in found)]


def _waiting(members: list[proc.Stat]) -> Iterator[Finding]:
    pids = monotonic_waits.waiting(members)
    for each in members:
        if each.pid in pids:
            thing = "waiting until a time of the monotonic clock"
            what = "after a boot that clock begins anew, and the wait may be too long or too short"
            yield finding(
                NOTE, each, thing, what, "resume before the node is booted, or be patient"
            )


def _tell(found: Iterable[Finding]) -> None:
    for each in found:
        log.warning(f"{each.severity}: {each}")


def _gone_after_a_boot(
    root: proc.Stat, found: Held, places: Temporary, limit: int
) -> Iterator[Finding]:
    """A finding for each file in a temporary directory of which no copy can be made."""
    files = {file.path for file in found.open if not file.deleted and places.holds(file.path)}
    for path in sorted(files | found.mapped):
        try:
            status = os.lstat(path)
        except OSError:  # gone meanwhile
            continue
        remedy = "keep it where a boot leaves it, as in the job's directory"
        if status.st_uid == 0 or not stat.S_ISREG(status.st_mode):  # the node makes its own again
            continue
        if status.st_uid != os.geteuid():
            why = "not the job's own"
        elif status.st_size > limit * 1024 * 1024:
            why = f"larger than {limit} MiB"
            remedy += ", or raise snapshot_limit_mib"
        elif not os.access(path, os.R_OK, effective_ids=True):
            why = "not to be read"
        else:
            continue
        yield finding(HAZARD, root, path, f"gone after a boot: {why}, so it is not copied", remedy)


def of_tree(members: list[proc.Stat], leader_pid: int, settings: Settings) -> Iterator[Finding]:
    """A finding for each file that can be changed in place and that no image has a copy of."""
    root = members[0]
    try:
        rules = dumping.rules(root.pid, leader_pid, settings)
    except BadFileRule as bad:
        what = "no checkpoint is taken with a rule that means nothing"
        yield finding(HAZARD, root, str(bad), what, "correct it (torqueckpt-files(7))")
        return
    by_pid = {each.pid: each for each in members}
    environment = proc.environment(root.pid)
    places = temporary.of_job(settings.temporary_directories, environment, root.pid)
    found = held.of_tree(members, places)
    yield from _gone_after_a_boot(root, found, places, settings.snapshot_limit_mib)
    seen = {file.path: file for file in found.open if not file.deleted}
    for path, policy in record.written(tuple(seen.values()), rules).items():
        file = seen[path]
        limit = settings.snapshot_limit_mib
        if places.holds(path):
            continue
        if policy == file_rules.SNAPSHOT and file.size > limit * 1024 * 1024:
            what = f"larger than {limit} MiB, so no copy of it is made, and changes in place stay"
            remedy = "raise snapshot_limit_mib"
            yield finding(HAZARD, by_pid[file.pid], path, what, remedy)
        elif policy == file_rules.ROLLBACK and file.flags & _ACCESS == os.O_RDWR:
            what = "open for reading and writing; a restart undoes what is appended, nothing else"
            remedy = f"if it is changed in place: TORQUECKPT_FILES={path}=snapshot"
            yield finding(NOTE, by_pid[file.pid], path, what, remedy)
