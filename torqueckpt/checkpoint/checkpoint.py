# SPDX-License-Identifier: MIT
"""Take a checkpoint, from MOM's call to a whole image; called as root, done as the job's owner.

Whatever fails, the job runs on and its last whole image is untouched.  checkpoint_process() does
the same for a process that somebody names: chkpnt, cr_checkpoint, and LSF's job starter.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from torqueckpt import log
from torqueckpt.batch import job_details
from torqueckpt.checkpoint import new_image, preflight, proof, publish, space, turns
from torqueckpt.checkpoint.plan import CheckpointPlan, NewImage
from torqueckpt.checkpoint.target import (
    Target,
    find_lineage,
    find_tree,
    last_image,
    lives_as_long,
    locked,
    made_already,
    owner_of,
)
from torqueckpt.checkpointers import registry
from torqueckpt.errors import (
    DoubtfulImage,
    DumpFailed,
    InternalError,
    InvalidJobId,
    NeedsRoot,
    SessionGone,
    TorqueCkptError,
    WouldNotComeBack,
)
from torqueckpt.files import intent, stdio
from torqueckpt.identity import ImageRef, job_id
from torqueckpt.manifest import Manifest
from torqueckpt.process import (
    job_processes,
    privileges,
    proc,
    signals,
    tree,
)
from torqueckpt.process.guard import Guard, run_on
from torqueckpt.request import CheckpointRequest
from torqueckpt.settings import Settings
from torqueckpt.store import access, former, journal, key
from torqueckpt.store.filesystem import translated
from torqueckpt.store.store import OwnerStore


def checkpoint(request: CheckpointRequest, settings: Settings) -> Manifest:
    """Take an image of the job, or find the one that an earlier, equal call has taken."""
    arrived = time.time()
    if os.getuid() != 0:
        raise NeedsRoot(what="a checkpoint", remedy="MOM runs it, or `torqueckpt checkpoint` does")
    store = access.open_store(settings)
    former.note(settings)
    secret = key.read(settings.key())
    checkpointer, told_version = registry.chosen(settings)
    owner = owner_of(request, settings)
    with privileges.acting_as(owner):
        owner_store = store.owner(owner, make=True)
        lineage = find_lineage(owner_store, request, settings)
        noted, before = _failures_noted(owner_store, request, settings), lineage.newest_number()
        in_turn = turns.turn(request, owner, lives_as_long(lineage, request), settings)
        alone = locked(owner_store, lineage, settings.lock_timeout_seconds)
        with noted, in_turn as waited_ms, alone as lock:
            with translated(settings.store):
                known = lineage.live()
                intent.settle(lineage.directory, known)
            since = arrived - settings.repeat_window_seconds
            last = last_image(lineage, secret)
            waited = lineage.newest_number() > before
            manifest = made_already(lineage, request, since, last, waited)
            if manifest is not None:
                publish.make_known(store, owner_store, lineage, manifest, request)
                return manifest
            target = find_tree(known, request, settings)._replace(last=last)
            tree.check(target.tree, owner)
            target = preflight.before_dump(
                checkpointer, target, request.refuse_connections, settings.leave_out
            )
            depth = request.depth or settings.depth
            space.refuse_without(owner_store, lineage, target, depth, settings)
            version = told_version()
            may_stop = request.end or not checkpointer.has_freeze_hook
            with _opened(target) as outputs, _running_again(target, may_stop) as guarded:
                plan = CheckpointPlan(
                    request=request,
                    settings=settings,
                    owner_store=owner_store,
                    lineage=lineage,
                    depth=depth,
                    checkpointer=checkpointer,
                    checkpointer_version=version,
                    **new_image.seen_of_tree(target),
                    outputs=outputs,
                    inherited=(lock, *guarded),
                )
                made = new_image.take(plan, known, secret)
                manifest = made.manifest
                publish.make_known(store, owner_store, lineage, manifest, request)
                took_ms = int((time.time() - arrived) * 1000) - waited_ms
                publish.tidy(plan, made, took_ms, waited_ms)
                if request.end and made.lost:
                    raise WouldNotComeBack(**_of_doubtful(made))
                if request.end:
                    signals.end_job(target.root, target.sessions)
    log.info(
        f"{manifest.job.id}: generation {manifest.generation}, {manifest.bytes} bytes,"
        f" {manifest.wall_ms} ms"
    )
    if made.lost:
        raise DoubtfulImage(**_of_doubtful(made))
    return manifest


def _of_doubtful(made: NewImage) -> dict[str, object]:
    """What is told of an image that would not come back."""
    manifest, problem = made.manifest, proof.some(made.lost)
    return {"job": manifest.job.id, "generation": manifest.generation, "problem": problem}


@contextmanager
def _opened(target: Target) -> Iterator[tuple[int, ...]]:
    """Inside, the job's output files are open for reading."""
    sources: list[int] = []
    try:
        for stream in target.live.streams:
            sources.append(stdio.open_now(stream, target.open_files))
        yield tuple(sources)
    except FileNotFoundError as gone:
        raise DumpFailed(job=target.live.job, reason=gone.strerror) from gone
    finally:
        for source in sources:
            os.close(source)


@contextmanager
def _running_again(target: Target, stopped: bool) -> Iterator[tuple[int, ...]]:
    """Inside, any failure lets a stopped tree run on, also when this program is killed.

    Gives the descriptor that the checkpointer must inherit: it may outlive this program.
    """
    if not stopped:
        yield ()
        return
    guard = Guard(target.owner, run_on(target.root, target.stopped))
    try:
        yield (guard.write_end,)
    except BaseException:
        signals.continue_tree(target.root, target.stopped)
        guard.leave()  # a checkpointer that goes on has yet to leave the tree stopped
        raise
    guard.dismiss()


@contextmanager
def _failures_noted(
    owner_store: OwnerStore, request: CheckpointRequest, settings: Settings
) -> Iterator[None]:
    try:
        yield
    except Exception as failure:
        facts: dict[str, object] = {
            "reason": str(failure),
            "code": getattr(failure, "exit_code", InternalError.exit_code),
            **journal.of_checkpoint(owner_store, request.job_id),
            **job_details.facts(request.exec_pid or request.sid, settings),
        }
        if not isinstance(failure, TorqueCkptError):  # a bug: there may be no system log to tell
            log.traceback_of(failure)
            facts["traceback"] = log.lines()
        journal.note(owner_store, "checkpoint-failed", request.job_id, **facts)
        raise


def job_of_process(pid: int) -> str:
    """The batch job's id in a process's environment, else one made from its pid."""
    try:
        return job_id(job_processes.job_of(pid))
    except InvalidJobId:
        return f"{pid}.chkpnt"


def checkpoint_process(
    pid: int,
    job: str,
    end: bool,
    owner: str | None,
    settings: Settings,
    refuse_connections: bool = False,
) -> ImageRef:
    """Take an image of the tree below `pid`; called as root.

    owner: whose it must be, None for any.
    """
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
    manifest = checkpoint(asked, settings)
    return ImageRef(manifest.lineage, manifest.generation)
