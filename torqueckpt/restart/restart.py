# SPDX-License-Identifier: MIT
"""Bringing a job back: first the owner's part, without rights; then the restore, then staying.

prepare() runs as the owner (in `torqueckpt resume` before the door, in mom-restart acting as him).
restore() is root's: it believes only what is signed, and what it starts runs as the owner.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from torqueckpt import checkpointers, log
from torqueckpt.checkpoint import dumping
from torqueckpt.checkpointers.base import Checkpointer
from torqueckpt.errors import (
    ForeignImage,
    TorqueCkptError,
)
from torqueckpt.files import intent, stdio
from torqueckpt.identity import Owner, ProcessId
from torqueckpt.images import catalogue
from torqueckpt.manifest import Manifest, Stream
from torqueckpt.process import privileges, proc, supervise
from torqueckpt.process.guard import Guard, kill, kill_restored
from torqueckpt.records import Cut, Intent, Live, LiveStream
from torqueckpt.request import RestartRequest
from torqueckpt.restart import attached, checks, claiming, detached, rollback
from torqueckpt.restart.phases import Phase, untold
from torqueckpt.restart.verify import Beside
from torqueckpt.settings import Settings
from torqueckpt.store import journal, marks
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import OwnerStore
from torqueckpt.store.translate import translated

FAILED = catalogue.RESTART_FAILED


@contextmanager
def prepare(
    request: RestartRequest,
    who: Owner,
    outputs: detached.Outputs,
    settings: Settings,
    key: bytes | None = None,
    phase: Phase = untold,
    beside: Beside | None = None,
) -> Iterator[tuple[OwnerStore, Lineage, Manifest, int]]:
    """All that is the owner's: choose and verify the image, check files, fill the new stdout.

    `outputs` opens where stdout and stderr go now.  Gives the lineage's lock too, which is held
    until the caller is done; what was changed is undone when the caller fails.  beside: what of the
    image need not be verified before it is restored; restore() is to be given it too.
    """
    found = catalogue.lineage_of(request.job_id, who, settings)
    with ExitStack() as stack:
        mine, lineage = stack.enter_context(found)
        stack.enter_context(failures_noted(mine, lineage))
        lock = stack.enter_context(claiming.locked_and_claimed(mine, lineage, request, settings))
        live = lineage.live()
        claiming.refuse_if_running(mine, live, request, settings)
        with translated(lineage.path):
            intent.settle(lineage.directory, live)
            lineage.sweep()
        made = chosen(lineage, request, who, key, phase, beside)
        attempt = os.urandom(8).hex()
        streams = outputs(made)
        now = (streams.values(), attempt, who, settings, settings.pid_wait_seconds)
        examined = checks.examine(lineage, made, request, *now, phase)
        files = checks.approved(examined, made, request)
        edited = rollback.edit(lineage, made, request, files, who, settings)
        plan = _plan(lineage, made, request, streams, attempt)._replace(
            files=tuple(files.changes),
            directories=tuple(files.directories),
            edited=edited,
        )
        intent.write(lineage.directory, plan)
        try:
            rollback.apply(lineage, made, plan, phase)
            _fill(lineage, made, plan, phase)
            mine.belongs(request.present_job, lineage)
            yield mine, lineage, made, lock
        except BaseException:
            undo_unless_it_runs(lineage)
            raise


def chosen(
    lineage: Lineage,
    request: RestartRequest,
    who: Owner,
    key: bytes | None,
    phase: Phase = untold,
    beside: Beside | None = None,
) -> Manifest:
    """The image to go on from, verified, and the owner's own; else ForeignImage, or its defect."""
    _, made = catalogue.choose(lineage, request, key, phase, beside)
    if made.job.uid != who.uid or made.lineage != lineage.name:
        raise ForeignImage(
            path=lineage.path, owner=made.job.owner, uid=made.job.uid, caller=who.name
        )
    return made


def undo_unless_it_runs(lineage: Lineage) -> None:
    """After a failure: give the job's files back; what cannot be now, the next action does."""
    claiming.end(lineage)
    try:
        intent.settle(lineage.directory, lineage.live())
    except (TorqueCkptError, OSError) as trouble:
        log.error(f"{lineage.path}: not undone yet: {trouble}")


@contextmanager
def failures_noted(mine: OwnerStore, lineage: Lineage) -> Iterator[None]:
    try:
        yield
    except TorqueCkptError as failure:
        facts = {"reason": str(failure), "code": failure.exit_code}
        known = journal.of_checkpoint(mine, lineage.first_job)
        journal.note(mine, FAILED, lineage.first_job, lineage=lineage.name, **facts, **known)
        raise


def restore(
    mine: OwnerStore,
    lineage: Lineage,
    made: Manifest,
    who: Owner,
    lock: int,
    settings: Settings,
    beside: Beside | None = None,
) -> int:
    """Restore the tree as our own child and stay until it ends; gives the job's exit status.

    Called as root, acting as the owner, with the lock held and the intent written.  It drops to the
    owner for good once the tree runs.
    """
    who = privileges.with_groups(who, made.job.gid, made.job.groups)
    plan = detached.intended(lineage, made)
    checkpointer = checkpointers.load(made.checkpointer, settings)
    dumping.usable_version(checkpointer)
    keeper = proc.still_me()
    claiming.refuse_without(lineage, plan.job)
    before = lineage.live()
    live = Live(
        job=plan.job,
        host=os.uname().nodename,
        keeper=keeper,
        tree=None,
        attempt=plan.attempt,
        streams=detached.as_written_now(plan.streams),
        written=int(time.time()),
    )
    supervise.prepare()
    guard = Guard(who, kill_restored(made.exec_pid))
    lineage.write_live(live)
    try:
        root, program = _restored(checkpointer, lineage, made, plan, who, lock, settings, beside)
    except BaseException:
        guard.dismiss()
        if before is not None:
            lineage.write_live(before)
        raise
    if root.pid != made.exec_pid:
        before_it, guard = guard, Guard(who, kill(root))
        before_it.dismiss()
    lineage.write_live(live._replace(tree=root))
    intent.done(lineage.directory)
    detached.tell_of_another_boot(made, plan)
    claiming.end(lineage)
    marks.resumed(lineage)
    journal.note(
        mine,
        "restart",
        plan.job,
        lineage=lineage.name,
        generation=made.generation,
        image_of=made.job.id,
        tails={change.path: change.tail for change in plan.files if change.tail},
        **journal.of_checkpoint(mine, made.job.id),
    )
    detached.unlock(lock)
    privileges.drop(who)
    status = supervise.wait_for(root, program)
    guard.dismiss()
    log.info(f"{plan.job}: restarted from generation {made.generation}, ended with {status}")
    return status


def _restored(
    checkpointer: Checkpointer,
    lineage: Lineage,
    made: Manifest,
    plan: Intent,
    who: Owner,
    lock: int,
    settings: Settings,
    beside: Beside | None,
) -> tuple[ProcessId, ProcessId | None]:
    """The job's root, and the restore program if it stays as the root's parent."""
    if checkpointer.stays:
        program, root = attached.restore(checkpointer, lineage, made, plan, who, settings)
        return root, program
    root = detached.restore(checkpointer, lineage, made, plan, who, lock, settings, beside)
    return root, None


def _plan(
    lineage: Lineage,
    made: Manifest,
    request: RestartRequest,
    outputs: dict[str, LiveStream],
    attempt: str,
) -> Intent:
    """Which files the output goes to, and which of them still hold what was written so far."""
    streams, cuts = [], []
    with detached.beside_its_image(made), lineage.directory.make("output") as output:
        for stream in made.streams:
            kept = stdio.branch(output, stream, _needed_by_others(lineage, made, stream))
            now = outputs[stream.name]._replace(kept=kept)
            with detached.opened_stream(now) as target:
                if stdio.holds(output, stream, target):
                    now = now._replace(base=0)
                    cuts.append(Cut(stream.name, stream.size, f"{attempt}.{stream.name}"))
            streams.append(now)
    return Intent(attempt, request.present_job, made.generation, tuple(streams), tuple(cuts))


def _needed_by_others(lineage: Lineage, made: Manifest, stream: Stream) -> int:
    """The largest size of the stream's kept file that a newer generation was made with."""
    sizes = [0]
    for generation in lineage.generations():
        if generation.number == made.generation:
            continue
        try:
            others = generation.manifest().streams
        except TorqueCkptError as torn:
            log.warning(str(torn))
            continue
        sizes += [other.size for other in others if other.kept == stream.kept]
    return max(sizes)


def _fill(lineage: Lineage, made: Manifest, plan: Intent, phase: Phase) -> None:
    """Bring each new stream to what it was at the freeze."""
    now = {stream.name: stream for stream in plan.streams}
    cuts = {cut.name: cut for cut in plan.cuts}
    total = sum(stream.size for stream in made.streams if stream.name not in cuts)
    output_so_far, beside = phase("put the output so far back", total), lineage.directory
    with detached.beside_its_image(made), output_so_far as written, beside.sub("output") as output:
        for stream in made.streams:
            with detached.opened_stream(now[stream.name]) as target:
                if stream.name in cuts:
                    stdio.cut(lineage.directory, cuts[stream.name], target)
                else:
                    stdio.replay(output, stream, target, written)
