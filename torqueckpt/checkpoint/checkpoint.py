# SPDX-License-Identifier: MIT
"""Take a checkpoint, from MOM's call to a whole image; called as root, done as the job's owner.

Whatever fails, the job runs on and its last whole image is untouched.  checkpoint_process() does
the same for a process that somebody names: chkpnt, cr_checkpoint, and LSF's job starter.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from torqueckpt import layout, log
from torqueckpt.batch import job_details
from torqueckpt.checkpoint import describe, dumping, preflight, proof, publish, space
from torqueckpt.checkpoint.describe import Reader
from torqueckpt.checkpoint.plan import CheckpointPlan, Dumped, SavedImage
from torqueckpt.checkpoint.target import (
    Target,
    find_lineage,
    find_tree,
    last_image,
    locked,
    made_already,
    owner_of,
)
from torqueckpt.checkpointers import registry
from torqueckpt.checkpointers.base import Dump
from torqueckpt.errors import (
    DumpFailed,
    InternalError,
    InvalidJobId,
    JobEnded,
    NeedsRoot,
    SessionGone,
    TorqueCkptError,
)
from torqueckpt.files import intent, job_script, stdio
from torqueckpt.files.record import Look, Task
from torqueckpt.identity import ImageRef, job_id
from torqueckpt.manifest import Manifest, Stream
from torqueckpt.process import (
    ceiling,
    job_processes,
    monotonic_waits,
    privileges,
    proc,
    signals,
    tree,
)
from torqueckpt.process.guard import Guard, run_on
from torqueckpt.records import Live
from torqueckpt.request import CheckpointRequest
from torqueckpt.settings import Settings
from torqueckpt.store import access, former, journal, key
from torqueckpt.store.filesystem import translated
from torqueckpt.store.generation import Generation
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import OwnerStore

_TIMES, _AGAIN_SECONDS = 10, 10.0  # for a dump that meets what lasts a moment only


def checkpoint(request: CheckpointRequest, settings: Settings) -> Manifest:
    """Take an image of the job, or find the one that an earlier, equal call has taken."""
    arrived = time.time()
    if os.getuid() != 0:
        raise NeedsRoot(what="a checkpoint", remedy="MOM runs it, or `torqueckpt checkpoint` does")
    store = access.open_store(settings)
    secret = key.read(settings.key())
    checkpointer, told_version = registry.chosen(settings)
    owner = owner_of(request)
    with privileges.acting_as(owner):
        owner_store = store.owner(owner, make=True)
        former.note(settings)
        lineage = find_lineage(owner_store, request, settings)
        noted = _failures_noted(owner_store, request, settings)
        with noted, locked(lineage, settings.lock_timeout_seconds) as lock:
            with translated(settings.store):
                known = lineage.live()
                intent.settle(lineage.directory, known)
            since = arrived - settings.repeat_window_seconds
            last = last_image(lineage, secret)
            manifest = made_already(lineage, request, since, last)
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
                    **_seen_of_tree(target),
                    outputs=outputs,
                    inherited=(lock, *guarded),
                )
                manifest, left_out = _new_image_at_last(plan, known, secret)
                publish.make_known(store, owner_store, lineage, manifest, request)
                took_ms = int((time.time() - arrived) * 1000)
                publish.tidy(plan, manifest, left_out, took_ms)
                if request.end:
                    signals.end_job(target.root, target.sessions)
    log.info(
        f"{manifest.job.id}: generation {manifest.generation}, {manifest.bytes} bytes,"
        f" {manifest.wall_ms} ms"
    )
    return manifest


def _seen_of_tree(target: Target) -> dict[str, Any]:
    return {
        "target": target,
        "waiting": monotonic_waits.waiting(target.tree),
        "tcp": tree.tcp(target.open_files),
        "ceiling": ceiling.of_tree(target.tree, target.leader_pid),
    }


def _new_image_at_last(
    plan: CheckpointPlan, known: Live | None, secret: bytes
) -> tuple[Manifest, int]:
    """What _new_image() gives.

    A dump that fails on what lasts a moment only, as a connection does that is being made, is
    repeated at once, a limited number of times.
    """
    tries, until, before = _TIMES, time.monotonic() + _AGAIN_SECONDS, ""
    while True:
        tries -= 1
        try:
            return _new_image(plan, known, secret)
        except DumpFailed as failed:
            reason = str(failed.details["reason"])
            over = tries == 0 or time.monotonic() > until
            if over or not plan.checkpointer.is_of_a_moment(reason, reason == before):
                raise
            before = reason
            log.info(f"{plan.job}: dumped once more: {reason}")
        members = tree.below(plan.target.root)
        target = plan.target._replace(tree=members, open_files=tree.open_links(members))
        tree.check(members, target.owner)
        target = preflight.before_dump(
            plan.checkpointer, target, plan.request.refuse_connections, plan.settings.leave_out
        )
        plan = plan._replace(again=True, **_seen_of_tree(target))


def _new_image(plan: CheckpointPlan, known: Live | None, secret: bytes) -> tuple[Manifest, int]:
    """Have the tree dumped into a new generation, which is whole and signed after this.

    Gives also how many of the job's processes are not in it.  known: the lineage's live record so
    far.
    """
    lineage, target, settings = plan.lineage, plan.target, plan.settings
    with translated(settings.store), lineage.new_generation() as generation:
        dump = dumping.what_to_dump(plan, generation)
        with closing(Reader(plan, dump)) as reader:
            if target.live != known:  # before there is an image to resume from
                lineage.write_live(target.live)
            scripts = _keep_scripts(target, lineage)
            task = dumping.what_to_look_at(plan, generation, scripts)
            dumped = _dumped(plan, dump, generation, task)
            describe.repair(plan, dump)
            reader.start()
            packs = space.packs(plan.checkpointer, generation, plan.depth, settings)
            with generation.sealing(packs) as image:  # and meanwhile:
                left_out = preflight.tell_strays(target)
                facts = reader.facts(dumped)
                streams = _grow_streams(plan, dumped.seen)
            saved = SavedImage(facts, scripts, streams, tuple(image))
            manifest = describe.manifest_of(plan, generation, dumped, saved)
            manifest = proof.judged(plan, manifest, facts, dumped.seen)
            proof.write_and_read_back(plan, generation, manifest, secret)
            generation.directory.append_line(layout.LOG, log.lines())
    return manifest, left_out


def _dumped(plan: CheckpointPlan, dump: Dump, generation: Generation, task: Task) -> Dumped:
    """Have the tree dumped, with a pre-dump if the setting `pre_dump` wants it."""
    if plan.settings.pre_dump == "off":
        return dumping.dump(plan, dump, task)
    from torqueckpt.checkpoint import pre_dump  # slow to import, and seldom wanted

    return pre_dump.dump(plan, dump, generation, task)


def _keep_scripts(target: Target, lineage: Lineage) -> dict[str, str]:
    with lineage.directory.make(layout.KEPT) as directory:
        try:
            return job_script.keep(directory, target.open_files)
        except FileNotFoundError as gone:
            raise JobEnded(job=target.live.job, pid=target.root.pid) from gone


@contextmanager
def _opened(target: Target) -> Iterator[tuple[int, ...]]:
    """Inside, the job's output files are open for reading."""
    sources: list[int] = []
    try:
        for stream in target.live.streams:
            sources.append(stdio.open_now(stream, target.root.pid))
        yield tuple(sources)
    except FileNotFoundError as gone:
        raise DumpFailed(job=target.live.job, reason=gone.strerror) from gone
    finally:
        for source in sources:
            os.close(source)


def _grow_streams(plan: CheckpointPlan, seen: Look) -> tuple[Stream, ...]:
    """Keep the job's output up to the freeze."""
    with plan.lineage.directory.make(layout.OUTPUT) as directory:
        return tuple(
            stdio.grow(directory, stream, output, size)
            for stream, output, size in zip(
                plan.target.live.streams, plan.outputs, seen.stream_sizes
            )
        )


@contextmanager
def _running_again(target: Target, stopped: bool) -> Iterator[tuple[int, ...]]:
    """Inside, any failure lets a stopped tree run on, also when this program is killed.

    Gives the descriptor that the checkpointer must inherit: it may outlive this program.
    """
    if not stopped:
        yield ()
        return
    guard = Guard(target.owner, run_on(target.root))
    try:
        yield (guard.write_end,)
    except BaseException:
        signals.continue_tree(target.root)
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
