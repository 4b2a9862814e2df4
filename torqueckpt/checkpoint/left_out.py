# SPDX-License-Identifier: MIT
"""Find what of a job its image would lack: processes that left its tree, or run on other nodes.

A restart would lose it: a checkpoint is refused unless the setting `leave_out` names the program.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from torqueckpt.findings import HAZARD, REFUSED, Finding
from torqueckpt.identity import Owner
from torqueckpt.process import job_processes, proc
from torqueckpt.process.resources import Holdings, finding
from torqueckpt.process.sockets import ESTABLISHED

# Programs that run something on another node for as long as they live there themselves.
_REMOTE = ("ssh", "rsh", "srun", "pbsdsh", "pbs_tmrsh", "blaunch")
# Those that others have started here for a part of a program that may have more parts elsewhere.
_PARTS = ("orted", "prted", "pmi_proxy")
# Those that have started such by a program that has ended since; a connection stays.
_STARTERS = ("mpirun*", "mpiexec*", "orterun*", "prterun*")
_ELSEWHERE = "what it has started on another node is not in the image, and lost at a restart"


def strays(
    members: list[proc.Stat], leader_pid: int, owner: Owner, leave_out: Iterable[str], lost: bool
) -> Iterator[Finding]:
    """Processes that left the tree; lost: a checkpoint is refused for those that none may lack.

    What a program has started that it may lack is lost with that.
    """
    found = job_processes.strays(members, leader_pid, owner.uid)
    spared = {each.pid for each in found if _is_in(leave_out, each)}
    for each in found:
        what = "not in the job's tree: neither dumped nor, in a session of its own, ended with it"
        remedy = (
            "have mom-run start the job, or start it in the foreground or with setsid --wait;"
            f" or have leave_out name {each.name}"
        )
        may_go = not spared.isdisjoint((each.pid, *job_processes.above(each)))
        severity = HAZARD if not lost or may_go else REFUSED
        yield finding(severity, each, "a process that left its parent", what, remedy)


def elsewhere(
    members: list[proc.Stat], held: Holdings, leave_out: Iterable[str]
) -> Iterator[Finding]:
    """Parts of the job on other nodes."""
    count = job_processes.hosts(members[0].pid)
    if count > 1:
        what = "an image of one node's processes is not the whole job"
        remedy = "checkpoint within the program, or run it on one node"
        yield finding(REFUSED, members[0], f"a job on {count} nodes", what, remedy)
    for each in held.tree.values():
        if each.name in _REMOTE:
            severity = HAZARD if _is_in(leave_out, each) else REFUSED
            remedy = f"checkpoint when it has ended, or have leave_out name {each.name}"
            yield finding(severity, each, each.name, _ELSEWHERE, remedy)
        elif each.name in _PARTS:
            what = "what it has started on another node is not in the image"
            yield finding(HAZARD, each, each.name, what, "checkpoint when it has ended")
    yield from _connected(held, leave_out)


def _connected(held: Holdings, leave_out: Iterable[str]) -> Iterator[Finding]:
    """MPI's starters that are connected to another host."""
    if not any(_is_in(_STARTERS, each) for each in held.tree.values()):
        return
    for each in held.tcp():
        owner = held.sockets.get(each.inode)
        if owner is None or each.state != ESTABLISHED or each.local[0] == each.remote[0]:
            continue
        process = held.tree[owner[0]]
        if _is_in(_STARTERS, process):
            severity = HAZARD if _is_in(leave_out, process) else REFUSED
            remedy = f"run it on one node, or have leave_out name {process.name}"
            yield finding(severity, process, f"{each.peer}, another node", _ELSEWHERE, remedy)


def _is_in(globs: Iterable[str], process: proc.Stat) -> bool:
    return any(fnmatchcase(process.name, glob) for glob in globs)
