# SPDX-License-Identifier: MIT
"""Publish a whole image: links and pointer that lead to it, older ones removed, a journal line."""

from __future__ import annotations

from contextlib import nullcontext

from torqueckpt import log
from torqueckpt.batch import job_details, pointer
from torqueckpt.checkpoint.plan import CheckpointPlan, NewImage
from torqueckpt.manifest import Manifest
from torqueckpt.process import privileges
from torqueckpt.request import CheckpointRequest
from torqueckpt.store import index, journal, marks
from torqueckpt.store.filesystem import translated
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import OwnerStore, Store


def make_known(
    store: Store,
    owner_store: OwnerStore,
    lineage: Lineage,
    manifest: Manifest,
    request: CheckpointRequest,
) -> None:
    """Have every name lead to the new image, which is whole.

    A repeated call does it again: the first one may have been killed before this.
    """
    owner_store.belongs(manifest.job.id, lineage)
    with translated(lineage.path):
        before = index.read(lineage)
        now = index.current(lineage, before, manifest)
    try:
        store.link(
            manifest.exec_pid,
            manifest.job.id,
            manifest.job.owner,
            lineage.name,
            manifest.generation,
            {line.link for line in (*before.values(), *now.values())},
        )
    except OSError as problem:  # a file server that does not obey root; the image needs no link
        log.warning(f"no link for {manifest.job.id} in {store.root.path}: {problem.strerror}")
    index.write(lineage, now)
    if request.pointer_dir is not None and request.name:
        where = (request.pointer_dir, request.name)
        if not request.pointer_by_root:
            pointer.make_place(request.pointer_dir)
        with privileges.acting_as_root() if request.pointer_by_root else nullcontext():
            pointer.write(*where, lineage.name, manifest.generation)


def tidy(plan: CheckpointPlan, made: NewImage, took_ms: int, waited_ms: int) -> None:
    """Record which files keep the output now, remove images beyond the depth, write the journal.

    waited_ms: for its turn on the node, before the rest of its time.
    """
    live, lineage, settings = plan.target.live, plan.lineage, plan.settings
    manifest, ends = made.manifest, plan.request.end and not made.lost
    kept_in = {stream.name: stream.kept for stream in manifest.streams}
    streams = tuple(each._replace(kept=kept_in[each.name]) for each in live.streams)
    with translated(settings.store):
        if streams != live.streams:
            lineage.write_live(live._replace(streams=streams))
        known = {manifest.generation: manifest}
        if plan.target.last is not None:
            known[plan.target.last.generation.number] = plan.target.last.manifest
        lineage.prune(plan.depth, known)
        if ends:
            marks.held(lineage, manifest.job.id)
        else:  # a hold that was killed before it had ended the job may have left its mark
            marks.not_held(lineage)
        journal.note(
            plan.owner_store,
            "checkpoint",
            manifest.job.id,
            generation=manifest.generation,
            bytes=manifest.bytes,
            frozen_us=manifest.frozen_us,
            ended=ends,
            left_out=made.left_out,
            **({"doubts": list(manifest.doubts)} if manifest.doubts else {}),
            took_ms=took_ms,
            waited_ms=waited_ms,
            **job_details.facts(manifest.exec_pid, settings),
        )
