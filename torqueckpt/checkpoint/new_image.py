# SPDX-License-Identifier: MIT
"""Take one image: dump, what is recorded of the job meanwhile, seal, judge, sign."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

from torqueckpt import layout, log
from torqueckpt.checkpoint import describe, dumping, preflight, proof, space
from torqueckpt.checkpoint.describe import Reader
from torqueckpt.checkpoint.plan import CheckpointPlan, Dumped, NewImage, SavedImage
from torqueckpt.checkpoint.target import Target
from torqueckpt.checkpointers.base import Dump
from torqueckpt.errors import DumpFailed, JobEnded
from torqueckpt.files import job_script, stdio
from torqueckpt.files.record import Look, Task
from torqueckpt.manifest import Stream
from torqueckpt.process import ceiling, monotonic_waits, signals, tree
from torqueckpt.records import Live
from torqueckpt.store.filesystem import translated
from torqueckpt.store.generation import Generation
from torqueckpt.store.lineage import Lineage

_TIMES, _AGAIN_SECONDS = 10, 10.0  # for a dump that meets what lasts a moment only


def seen_of_tree(target: Target) -> dict[str, Any]:
    """What is known of a tree right before its dump, as fields of its CheckpointPlan."""
    return {
        "target": target,
        "waiting": monotonic_waits.waiting(target.tree),
        "stopped_themselves": signals.stopped_themselves(target.tree),
        "tcp": tree.tcp(target.open_files),
        "ceiling": ceiling.of_tree(target.tree, target.leader_pid),
    }


def take(plan: CheckpointPlan, known: Live | None, secret: bytes) -> NewImage:
    """Have the tree dumped into a new generation; known: the lineage's live record so far.

    A dump that fails on what lasts a moment only, as a connection does that is being made, is
    repeated at once, a limited number of times.
    """
    tries, until, before = _TIMES, time.monotonic() + _AGAIN_SECONDS, ""
    while True:
        tries -= 1
        try:
            return _once(plan, known, secret)
        except DumpFailed as failed:
            reason = str(failed.details["reason"])
            over = tries == 0 or time.monotonic() > until
            if over or not plan.checkpointer.is_of_a_moment(reason, reason == before):
                raise
            before = reason
            log.info(f"{plan.job}: dumped once more: {reason}")
        if plan.request.end:  # one that was left stopped would come back stopped
            signals.continue_tree(plan.target.root, plan.target.stopped)
        members = tree.below(plan.target.root)
        target = plan.target._replace(tree=members, open_files=tree.open_links(members))
        tree.check(members, target.owner)
        target = preflight.before_dump(
            plan.checkpointer, target, plan.request.refuse_connections, plan.settings.leave_out
        )
        plan = plan._replace(again=True, **seen_of_tree(target))


def _once(plan: CheckpointPlan, known: Live | None, secret: bytes) -> NewImage:
    """Have the tree dumped into a new generation, which is whole and signed after this."""
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
            manifest, lost = proof.judged(plan, manifest, facts, dumped.seen)
            proof.write_and_read_back(plan, generation, manifest, secret)
            generation.directory.append_line(layout.LOG, log.lines())
    return NewImage(manifest, left_out, lost)


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


def _grow_streams(plan: CheckpointPlan, seen: Look) -> tuple[Stream, ...]:
    """Keep the job's output up to the freeze."""
    with plan.lineage.directory.make(layout.OUTPUT) as directory:
        return tuple(
            stdio.grow(directory, stream, output, size)
            for stream, output, size in zip(
                plan.target.live.streams, plan.outputs, seen.stream_sizes
            )
        )
