# SPDX-License-Identifier: MIT
"""Have the checkpointer dump a tree, look at its files meanwhile, and say why a dump failed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from torqueckpt import file_rules, paths, run
from torqueckpt.checkpoint.plan import CheckpointPlan, Dumped
from torqueckpt.checkpoint.target import Target
from torqueckpt.checkpointers.base import Dump
from torqueckpt.errors import (
    BadFileRule,
    DumpFailed,
    DumpTimeout,
    JobEnded,
    StoreFull,
)
from torqueckpt.files import temporary
from torqueckpt.files.record import Look, Task, look
from torqueckpt.manifest import Rule
from torqueckpt.process import privileges, proc, signals, sockets
from torqueckpt.process.freeze import Freeze
from torqueckpt.process.worker import OwnerWorker, WorkerFailed
from torqueckpt.rights import contain
from torqueckpt.settings import Settings
from torqueckpt.store.generation import Generation

if TYPE_CHECKING:
    from torqueckpt.rights.tcp_repair import Repair

_ROOM_FOR_A_LOG = 64 * 1024

_LET_GO_SECONDS = 10  # behind our own limit: this one is for when we are gone


def what_to_dump(plan: CheckpointPlan, generation: Generation) -> Dump:
    connected = any(each.state == sockets.ESTABLISHED for each in plan.tcp)
    return Dump(
        exec_pid=plan.target.root.pid,
        image_dir=generation.image_dir,
        work_dir=generation.work_dir,
        stopped=plan.request.end,
        established_tcp=connected or _may_connect(plan),
        at_freeze=paths.installation() / "at-freeze",
        other_names=plan.target.other_names,
    )


def _may_connect(plan: CheckpointPlan) -> bool:
    """Whether the dump is to be ready for connections that are made until the tree is frozen."""
    checkpointer = plan.checkpointer
    if plan.request.refuse_connections or checkpointer.lacks(established_tcp=True):
        return False
    return plan.again or (bool(plan.tcp) and checkpointer.tcp_library is not None)


def dump(plan: CheckpointPlan, dump: Dump, task: Task) -> Dumped:
    """Run the dump as the owner, with the job's files looked at meanwhile."""
    checkpointer, target = plan.checkpointer, plan.target
    proc.still(target.root.id)
    with _files_of(plan.job):
        checkpointer.before_dump(dump)
        words = checkpointer.dump_argv(dump)
    if not dump.established_tcp or checkpointer.tcp_library is None:
        return _dump(plan, dump, task, words)
    from torqueckpt.rights.tcp_repair import saving  # slow to import, and few jobs have any

    limit = plan.settings.dump_timeout_seconds + _LET_GO_SECONDS
    with saving(checkpointer.tcp_library, target.owner, target.root, limit) as repair:
        try:
            dumped = _dump(plan, dump, task, words, repair)
        except DumpFailed as failed:
            problem = repair.report().problem
            if not problem:
                raise
            raise DumpFailed(job=plan.job, reason=problem) from failed
        connections = repair.report().connections
        return dumped._replace(connections=connections, established_tcp=bool(connections))


def _dump(
    plan: CheckpointPlan, dump: Dump, task: Task, words: list[str], repair: Repair | None = None
) -> Dumped:
    checkpointer, target = plan.checkpointer, plan.target
    limit = plan.settings.dump_timeout_seconds
    freeze = Freeze()
    stands_still = (
        None if checkpointer.has_freeze_hook else partial(checkpointer.stands_still, dump)
    )
    looking = OwnerWorker(target.owner, lambda: look(task, freeze, stands_still), 2 * limit)
    freeze.leave_to_looker()
    try:
        finished = as_owner(plan, dump, words, freeze, repair)
        with _files_of(plan.job):
            checkpointer.after_dump(dump)
        _check(plan, dump, finished)
        if not checkpointer.has_freeze_hook:
            _stand_still(target, freeze, dump.stopped, limit)
    except BaseException:
        looking.stop()
        raise
    finally:
        freeze.close_hook()
    try:
        seen = looking.result(Look)
        if not seen.frozen:
            raise WorkerFailed(f"{finished.program} did not call {dump.at_freeze}")
        if seen.lost:
            raise WorkerFailed(f"{seen.lost[0]} has just lost that name: checkpoint again")
        return Dumped(seen, finished.wall_ms, dump.established_tcp)
    except WorkerFailed as unseen:
        reason = f"its files were not looked at: {unseen}"
        raise DumpFailed(job=plan.job, reason=reason) from unseen


def as_owner(
    plan: CheckpointPlan,
    dump: Dump,
    words: list[str],
    freeze: Freeze | None = None,
    repair: Repair | None = None,
) -> run.Finished:
    """Run the checkpointer, as the job's owner, on his tree; freeze: the freeze that it reports.

    repair: root's process for its connections.
    """
    limit = plan.settings.dump_timeout_seconds
    return contain.run_alone(
        privileges.as_owner_argv(
            plan.target.owner,
            plan.checkpointer.capabilities(dump.established_tcp),
            words,
            orphan_seconds=limit + _LET_GO_SECONDS,
        ),
        timeout_seconds=limit,
        environment={
            **(freeze.environment if freeze is not None else {}),
            **(repair.environment if repair is not None else {}),
            **plan.checkpointer.preloaded(plan.checkpointer.dump_library, repair is not None),
        },
        keep_fds=(
            *plan.inherited,
            *(freeze.hook_fds if freeze is not None else ()),
            *(repair.fds if repair is not None else ()),
        ),
        held=plan.checkpointer.dumps_held,
    )


@contextmanager
def _files_of(job: str) -> Iterator[None]:
    """Inside, an OSError on the checkpointer's own files becomes a failed dump."""
    try:
        yield
    except OSError as problem:
        raise DumpFailed(job=job, reason=str(problem)) from problem


def _stand_still(target: Target, freeze: Freeze, stopped: bool, seconds: float) -> None:
    """Stop the tree right after a dump without a freeze hook, so that its files can be looked at.

    The caller lets it run on when this fails.
    """
    looked = freeze.looked()
    if stopped or not looked:
        signals.stop_tree(target.root.id)
    if not looked:
        freeze.wait_for_look(seconds)
    if not stopped:
        signals.continue_tree(target.root, target.stopped)


def _check(plan: CheckpointPlan, dump: Dump, finished: run.Finished) -> None:
    checkpointer, settings, root = plan.checkpointer, plan.settings, plan.target.root
    if finished.status is None:
        raise DumpTimeout(job=plan.job, seconds=settings.dump_timeout_seconds)
    if not finished.ok:
        if proc.alive(root.id) is None:
            raise JobEnded(job=plan.job, pid=root.pid)
        if _no_room(dump.work_dir):
            raise StoreFull(path=settings.store, problem="no room for another image")
        reason = checkpointer.reason(dump.work_dir, "dump") or finished.last_line()
        raise DumpFailed(job=plan.job, reason=reason or f"{finished.program} gave no reason")
    missing = checkpointer.incomplete(dump)
    if missing:
        raise DumpFailed(job=plan.job, reason=missing)


def _no_room(directory: Path) -> bool:
    """Whether the directory is full: a checkpointer without room may not have logged that."""
    left = os.statvfs(directory)
    return left.f_bavail * left.f_frsize < _ROOM_FOR_A_LOG


def what_to_look_at(plan: CheckpointPlan, generation: Generation, scripts: dict[str, str]) -> Task:
    root_pid, settings, last = plan.target.root.pid, plan.settings, plan.target.last
    manifest = last.manifest if last is not None else None
    if manifest and not proc.environment(root_pid):  # restored by one that does not show it
        known = tuple(rule._replace(complete=True) for rule in manifest.rules)
    else:
        known = rules(root_pid, plan.target.leader_pid, settings)
    environment = proc.environment(root_pid)
    return Task(
        root=plan.target.root,
        rules=known,
        streams=plan.outputs,
        spooled=tuple(scripts),
        lineage=plan.lineage.directory,
        store=str(settings.store),
        foreign=plan.checkpointer.own_directories(root_pid, generation.image_dir),
        prefix=str(generation.number),
        copy_limit=settings.snapshot_limit_mib * 1024 * 1024,
        earlier={file.path: file for file in manifest.watched} if manifest else {},
        other_names=plan.target.other_names,
        temporary=temporary.of_job(settings.temporary_directories, environment, root_pid),
    )


def rules(root_pid: int, leader_pid: int, settings: Settings) -> tuple[Rule, ...]:
    """The file rules for this job: those in its environment first, then the settings'.

    They are in the environment that the tree was started with, which it also has after a restart,
    and in its leader's: some shells drop what no shell could have set.
    """
    environment = {**proc.environment(leader_pid), **proc.environment(root_pid)}
    items = [*file_rules.of_job(environment), *settings.files]
    if not items:
        return ()
    directory = environment.get("PBS_O_WORKDIR") or environment.get("LS_SUBCWD", "")
    if not os.path.isdir(directory):  # moved (--relocate), or never known
        directory = os.readlink(f"/proc/{root_pid}/cwd")
    try:
        return tuple(file_rules.read(items, directory, environment))
    except file_rules.BadRule as bad:
        raise BadFileRule(problem=bad) from bad
