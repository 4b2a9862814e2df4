# SPDX-License-Identifier: MIT
"""Dump memory while the job runs, then what changed since while it stands (setting `pre_dump`).

A generation has before/ then, until it is merged into image/, which stands alone (base.merge).
Whatever of this fails, the dump is a full one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from torqueckpt import layout, log
from torqueckpt.checkpoint import describe, dumping, space
from torqueckpt.checkpoint.plan import CheckpointPlan, Dumped
from torqueckpt.checkpoint.target import Target
from torqueckpt.checkpointers.base import Checkpointer, Dump
from torqueckpt.errors import DumpFailed, StoreFull
from torqueckpt.files.record import Task
from torqueckpt.identity import Owner
from torqueckpt.process import memory, open_files, privileges, proc, signals, tree
from torqueckpt.process.worker import OwnerWorker, WorkerFailed
from torqueckpt.rights import contain
from torqueckpt.store.generation import Generation

_LEAST = 64 * 1024 * 1024  # a dump of less takes hardly longer than to stop the job twice
_ANSWER_SECONDS = 10
_UNSEEN = "the kernel may be writing into its memory (io_setup)"


def dump(plan: CheckpointPlan, dump: Dump, generation: Generation, task: Task) -> Dumped:
    """Dump as dumping.dump() does, after a pre-dump of memory where that can be done and pays."""
    began, frozen_us = time.monotonic(), 0
    if plan.checkpointer.pre_dump_checks():
        has_room = partial(space.for_pre_dump, plan.owner_store, plan.target.tree, plan.settings)
        why = _reason_against(plan.checkpointer, plan.target, has_room)
        why = why or _memory_first(plan, dump, generation)
        if not why:
            try:
                since = dump._replace(before=generation.path / layout.BEFORE)
                dumped = dumping.dump(plan, since, task)
                frozen_us = _merge(plan, since)
                generation.directory.remove_tree(layout.BEFORE)
                told = f"memory was dumped before, the job stood still for {frozen_us} us"
                log.info(f"{plan.job}: {told}")
                return dumped._replace(wall_ms=_ms_since(began), frozen_before_us=frozen_us)
            except (DumpFailed, StoreFull) as failed:
                why = str(failed)
                _begin_again(plan.target, dump, generation)
        log.info(f"{plan.job}: a full dump: {why}")
    return dumping.dump(plan, dump, task)._replace(frozen_before_us=frozen_us)


def refused(checkpointer: Checkpointer, owner: Owner) -> str:
    """Why memory cannot be dumped while this owner's jobs run; "" when it can."""
    rights = checkpointer.capabilities(established_tcp=False)
    for argv in checkpointer.pre_dump_checks():
        words = privileges.as_owner_argv(owner, rights, argv)
        answer = contain.run_alone(words, _ANSWER_SECONDS, held=checkpointer.dumps_held)
        if not answer.ok:
            return f"{checkpointer.name}, run as a job's owner, lacks {argv[-1]}"
    return ""


def _reason_against(
    checkpointer: Checkpointer, target: Target, has_room: Callable[[], bool]
) -> str:
    own = memory.own(target.tree)
    if own < _LEAST:
        return "the job is small"
    if 2 * own < memory.to_dump(target.tree):
        return "most of its memory is shared, which is dumped again each time"
    if _written_unseen(target):
        return _UNSEEN
    if not has_room():
        return "the store has no room for memory that is dumped twice"
    return refused(checkpointer, target.owner)


def _memory_first(plan: CheckpointPlan, dump: Dump, generation: Generation) -> str:
    """Dump memory into before/; gives why that failed, and then nothing of it is left."""
    checkpointer, target = plan.checkpointer, plan.target
    generation.directory.make(layout.BEFORE).close()
    place = generation.path / layout.BEFORE
    before = dump._replace(before=place, work_dir=place)
    words = checkpointer.pre_dump_argv(before)
    proc.still(target.root.id)
    with open_files.as_many_as_may_be():  # CRIU holds a pipe for each few pages
        finished = dumping.as_owner(plan, before, words)
    if finished.ok and not _written_unseen(target):  # it may just have begun with that
        return ""
    reason = checkpointer.reason(before.work_dir, "pre-dump") or finished.last_line()
    reason = _UNSEEN if finished.ok else reason
    generation.directory.remove_tree(layout.BEFORE)
    return f"pre-dump: {reason or f'it ended with {finished.status}'}"


def _written_unseen(target: Target) -> bool:
    return any(memory.written_unseen(each.pid) for each in tree.below(target.root))


class _Merged(NamedTuple):
    frozen_us: int


def _merge(plan: CheckpointPlan, dump: Dump) -> int:
    image_dir, before = dump.image_dir, dump.before
    assert before is not None
    merging = OwnerWorker(
        plan.target.owner,
        lambda: _Merged(plan.checkpointer.merge(image_dir, before)),
        plan.settings.dump_timeout_seconds,
    )
    try:
        return merging.result(_Merged).frozen_us
    except WorkerFailed as unreadable:
        raise describe.unreadable(plan.job, unreadable) from unreadable


def _begin_again(target: Target, dump: Dump, generation: Generation) -> None:
    if dump.stopped:
        # one that is dumped while stopped comes back stopped
        signals.continue_tree(target.root, target.stopped)
    for name in (layout.IMAGE, layout.WORK):
        generation.directory.remove_tree(name)
        generation.directory.make(name).close()
    generation.directory.remove_tree(layout.BEFORE)


def _ms_since(began: float) -> int:
    return int((time.monotonic() - began) * 1000)
