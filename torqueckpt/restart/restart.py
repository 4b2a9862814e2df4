# SPDX-License-Identifier: MIT
"""Restart a job: the owner's part without rights, the restore, then stay as the job's parent.

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
from torqueckpt.errors import TorqueCkptError
from torqueckpt.files import intent, leftovers, places, relocate
from torqueckpt.identity import ProcessId
from torqueckpt.manifest import Manifest
from torqueckpt.process import ceiling, privileges, proc, signals, supervise
from torqueckpt.process.guard import Guard, kill, kill_restored
from torqueckpt.records import Intent, Live
from torqueckpt.restart import attached, checks, choose, claiming, detached, output, rollback
from torqueckpt.restart.plan import Attempt, Prepared, Restart, RestorePlan
from torqueckpt.rights import begin
from torqueckpt.store import access, journal, marks
from torqueckpt.store.filesystem import translated
from torqueckpt.store.journal import RESTART_FAILED
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import OwnerStore

_KILLED = 128  # a status from there on: the job may go on from an image, with what lies there


@contextmanager
def prepare(restart: Restart, outputs: output.Outputs) -> Iterator[Prepared]:
    """Do the owner's part: choose and verify the image, check the files, fill the new stdout.

    `outputs` opens where stdout and stderr go now.  The lineage's lock is held until the caller is
    done; what was changed is undone when the caller fails.
    """
    request, owner, settings = restart.request, restart.owner, restart.settings
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
        manifest = choose.chosen(
            lineage, request, owner, restart.key, restart.progress, restart.verifier
        )
        intended = _intended(restart, lineage, manifest, outputs)
        with translated(lineage.path):
            intent.write(lineage.directory, intended)
        try:
            rollback.apply(lineage, manifest, intended, restart.progress)
            output.fill(lineage, manifest, intended, restart.progress)
            owner_store.belongs(request.present_job, lineage)
            yield Prepared(
                *(owner_store, lineage, manifest, lock, owner, settings),
                verifier=restart.verifier,
                in_place=restart.in_place,
            )
        except BaseException:
            undo_unless_it_runs(lineage)
            raise


def _intended(
    restart: Restart, lineage: Lineage, manifest: Manifest, outputs: output.Outputs
) -> Intent:
    """What is to be done for the job's files and output, once nothing stands in the way.

    None of them is changed here.
    """
    attempt = Attempt(os.urandom(8).hex(), outputs(manifest))
    wait_seconds = restart.settings.pid_wait_seconds
    examined = checks.examine(restart, lineage, manifest, attempt, wait_seconds)
    files = checks.approved(examined, manifest, restart.request)
    edited = rollback.edit(restart, lineage, manifest, files)
    made = relocate.relocated(manifest, restart.request.moves, ()).made
    return output.plan(lineage, manifest, attempt, restart.request.present_job)._replace(
        files=tuple(files.changes),
        directories=tuple(files.directories),
        edited=edited,
        places=tuple(files.places),
        leftovers=leftovers.expected(made),
    )


def undo_unless_it_runs(lineage: Lineage) -> None:
    """Give the job's files back after a failure.

    What cannot be undone now, the next action does.
    """
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


def restore(prepared: Prepared) -> int:
    """Restore the tree as our own child, stay until it ends, and give the job's exit status.

    Called as root, acting as the owner, with the lock held and the intent written.  It drops to the
    owner for good once the tree runs.
    """
    lineage, manifest = prepared.lineage, prepared.manifest
    plan = _restore_plan(prepared)
    keeper = proc.still_me()
    claiming.refuse_without(lineage, plan.intended.job)
    before = lineage.live()
    live = _live_record(plan.intended, keeper)
    supervise.prepare()
    guard = Guard(plan.owner, kill_restored(manifest.exec_pid))
    lineage.write_live(live)
    try:
        root, program = _restored(plan)
    except BaseException:
        guard.dismiss()
        if before is not None:
            lineage.write_live(before)
        raise
    if root.pid != manifest.exec_pid:
        before_it, guard = guard, Guard(plan.owner, kill(root))
        before_it.dismiss()
    if program is None and manifest.ceiling is not None:  # its threads have their numbers again
        ceiling.bind(manifest.ceiling)
    lineage.write_live(live._replace(tree=root))
    signals.continue_these(root, manifest.suspended)
    _note_that_it_runs(prepared, plan.intended)
    detached.unlock(prepared.lock)
    privileges.drop(plan.owner)
    begin.put_back()
    status = supervise.wait_for(root, program)
    guard.dismiss()
    if not prepared.in_place and status < _KILLED:
        made = set(plan.intended.directories)
        places.remove(each for each in manifest.made_for_job if each in made)
    log.info(f"{live.job}: restarted from generation {manifest.generation}, ended with {status}")
    return status


def _restore_plan(prepared: Prepared) -> RestorePlan:
    lineage, manifest, settings = prepared.lineage, prepared.manifest, prepared.settings
    owner = privileges.with_groups(prepared.owner, manifest.job.gid, manifest.job.groups)
    intended = detached.intended(lineage, manifest)
    checkpointer = registry.load(manifest.checkpointer, settings)
    registry.usable_version(checkpointer)
    return RestorePlan(
        checkpointer=checkpointer,
        lineage=lineage,
        manifest=manifest,
        intended=intended,
        owner=owner,
        lock=prepared.lock,
        settings=settings,
        verifier=prepared.verifier,
        in_place=prepared.in_place,
    )


def _live_record(intended: Intent, keeper: ProcessId) -> Live:
    """Of the job that is restored now; its tree is not there yet."""
    return Live(
        job=intended.job,
        host=os.uname().nodename,
        keeper=keeper,
        tree=None,
        attempt=intended.attempt,
        streams=output.as_written_now(intended.streams),
        written=int(time.time()),
    )


def _restored(plan: RestorePlan) -> tuple[ProcessId, ProcessId | None]:
    """Restore; gives the job's root, and the restore program if it stays as the root's parent."""
    if plan.checkpointer.stays_as_parent:
        program, root = attached.restore(plan)
        return root, program
    return detached.restore(plan), None


def _note_that_it_runs(prepared: Prepared, intended: Intent) -> None:
    """The restart has served: nothing is to be undone any more, and the journal tells of it."""
    owner_store, lineage, manifest = prepared.owner_store, prepared.lineage, prepared.manifest
    intent.done(lineage.directory)
    output.tell_of_another_boot(manifest, intended)
    output.tell_of_newer(lineage, manifest, intended)
    output.tell_of_stopped(manifest, intended)
    claiming.end(lineage)
    marks.resumed(lineage)
    journal.note(
        owner_store,
        "restart",
        intended.job,
        lineage=lineage.name,
        generation=manifest.generation,
        image_of=manifest.job.id,
        tails={change.path: change.tail for change in intended.files if change.tail},
        **journal.of_checkpoint(owner_store, manifest.job.id),
    )
