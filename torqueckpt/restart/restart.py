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

from torqueckpt import log
from torqueckpt.checkpointers import registry
from torqueckpt.checkpointers.base import Checkpointer
from torqueckpt.errors import TorqueCkptError
from torqueckpt.files import intent
from torqueckpt.identity import Owner, ProcessId
from torqueckpt.manifest import Manifest
from torqueckpt.process import privileges, proc, supervise
from torqueckpt.process.guard import Guard, kill, kill_restored
from torqueckpt.records import Intent, Live
from torqueckpt.request import RestartRequest
from torqueckpt.restart import attached, checks, choose, claiming, detached, output, rollback
from torqueckpt.restart.choose import StepProgress, no_progress
from torqueckpt.restart.verify import MemoryVerifier
from torqueckpt.settings import Settings
from torqueckpt.store import access, journal, marks
from torqueckpt.store.filesystem import translated
from torqueckpt.store.journal import RESTART_FAILED
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import OwnerStore


@contextmanager
def prepare(
    request: RestartRequest,
    owner: Owner,
    outputs: output.Outputs,
    settings: Settings,
    key: bytes | None = None,
    progress: StepProgress = no_progress,
    verifier: MemoryVerifier | None = None,
) -> Iterator[tuple[OwnerStore, Lineage, Manifest, int]]:
    """All that is the owner's: choose and verify the image, check files, fill the new stdout.

    `outputs` opens where stdout and stderr go now.  Gives the lineage's lock too, which is held
    until the caller is done; what was changed is undone when the caller fails.  beside: what of the
    image need not be verified before it is restored; restore() is to be given it too.
    """
    found = access.lineage_of(request.job_id, owner, settings)
    with ExitStack() as stack:
        owner_store, lineage = stack.enter_context(found)
        stack.enter_context(failures_noted(owner_store, lineage))
        lock = stack.enter_context(
            claiming.locked_and_claimed(owner_store, lineage, request, settings)
        )
        live = lineage.live()
        claiming.refuse_if_running(owner_store, live, request, settings)
        with translated(lineage.path):
            intent.settle(lineage.directory, live)
            lineage.sweep()
        manifest = choose.chosen(lineage, request, owner, key, progress, verifier)
        attempt = os.urandom(8).hex()
        streams = outputs(manifest)
        now = (streams.values(), attempt, owner, settings, settings.pid_wait_seconds)
        examined = checks.examine(lineage, manifest, request, *now, progress)
        files = checks.approved(examined, manifest, request)
        edited = rollback.edit(lineage, manifest, request, files, owner, settings)
        plan = output.plan(lineage, manifest, request, streams, attempt)._replace(
            files=tuple(files.changes),
            directories=tuple(files.directories),
            edited=edited,
        )
        intent.write(lineage.directory, plan)
        try:
            rollback.apply(lineage, manifest, plan, progress)
            output.fill(lineage, manifest, plan, progress)
            owner_store.belongs(request.present_job, lineage)
            yield owner_store, lineage, manifest, lock
        except BaseException:
            undo_unless_it_runs(lineage)
            raise


def undo_unless_it_runs(lineage: Lineage) -> None:
    """After a failure: give the job's files back; what cannot be now, the next action does."""
    claiming.end(lineage)
    try:
        intent.settle(lineage.directory, lineage.live())
    except (TorqueCkptError, OSError) as trouble:
        log.error(f"{lineage.path}: not undone yet: {trouble}")


@contextmanager
def failures_noted(owner_store: OwnerStore, lineage: Lineage) -> Iterator[None]:
    try:
        yield
    except TorqueCkptError as failure:
        facts = {"reason": str(failure), "code": failure.exit_code}
        known = journal.of_checkpoint(owner_store, lineage.first_job)
        about = {"lineage": lineage.name, **facts, **known}
        journal.note(owner_store, RESTART_FAILED, lineage.first_job, **about)
        raise


def restore(
    owner_store: OwnerStore,
    lineage: Lineage,
    manifest: Manifest,
    owner: Owner,
    lock: int,
    settings: Settings,
    verifier: MemoryVerifier | None = None,
) -> int:
    """Restore the tree as our own child and stay until it ends; gives the job's exit status.

    Called as root, acting as the owner, with the lock held and the intent written.  It drops to the
    owner for good once the tree runs.
    """
    owner = privileges.with_groups(owner, manifest.job.gid, manifest.job.groups)
    plan = detached.intended(lineage, manifest)
    checkpointer = registry.load(manifest.checkpointer, settings)
    registry.usable_version(checkpointer)
    keeper = proc.still_me()
    claiming.refuse_without(lineage, plan.job)
    before = lineage.live()
    live = Live(
        job=plan.job,
        host=os.uname().nodename,
        keeper=keeper,
        tree=None,
        attempt=plan.attempt,
        streams=output.as_written_now(plan.streams),
        written=int(time.time()),
    )
    supervise.prepare()
    guard = Guard(owner, kill_restored(manifest.exec_pid))
    lineage.write_live(live)
    try:
        root, program = _restored(
            checkpointer, lineage, manifest, plan, owner, lock, settings, verifier
        )
    except BaseException:
        guard.dismiss()
        if before is not None:
            lineage.write_live(before)
        raise
    if root.pid != manifest.exec_pid:
        before_it, guard = guard, Guard(owner, kill(root))
        before_it.dismiss()
    lineage.write_live(live._replace(tree=root))
    intent.done(lineage.directory)
    output.tell_of_another_boot(manifest, plan)
    claiming.end(lineage)
    marks.resumed(lineage)
    journal.note(
        owner_store,
        "restart",
        plan.job,
        lineage=lineage.name,
        generation=manifest.generation,
        image_of=manifest.job.id,
        tails={change.path: change.tail for change in plan.files if change.tail},
        **journal.of_checkpoint(owner_store, manifest.job.id),
    )
    detached.unlock(lock)
    privileges.drop(owner)
    status = supervise.wait_for(root, program)
    guard.dismiss()
    log.info(f"{plan.job}: restarted from generation {manifest.generation}, ended with {status}")
    return status


def _restored(
    checkpointer: Checkpointer,
    lineage: Lineage,
    manifest: Manifest,
    plan: Intent,
    owner: Owner,
    lock: int,
    settings: Settings,
    verifier: MemoryVerifier | None,
) -> tuple[ProcessId, ProcessId | None]:
    """The job's root, and the restore program if it stays as the root's parent."""
    if checkpointer.stays_as_parent:
        program, root = attached.restore(checkpointer, lineage, manifest, plan, owner, settings)
        return root, program
    root = detached.restore(checkpointer, lineage, manifest, plan, owner, lock, settings, verifier)
    return root, None
