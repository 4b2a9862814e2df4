# SPDX-License-Identifier: MIT
"""Judge a new image as a restart would, before anything older goes and before a job is ended.

What a restart reads is read here from the disk, by the same rules and within the same limits; only
the checksums are not taken again, which the image's files have got while they were written.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Iterator, Sequence

from torqueckpt import layout, log
from torqueckpt.checkpoint.plan import CheckpointPlan
from torqueckpt.checkpointers import image_rules
from torqueckpt.checkpointers.base import ImageFacts
from torqueckpt.errors import NotReadBack, TorqueCkptError
from torqueckpt.files.record import Look
from torqueckpt.manifest import Manifest
from torqueckpt.store.generation import Generation

_TOLD = 5  # reasons: a job's comment has 4 kB


def judged(
    plan: CheckpointPlan, manifest: Manifest, facts: ImageFacts, seen: Look
) -> tuple[Manifest, tuple[str, ...]]:
    """The manifest with why its image would not come back, or not as it was, as known by now.

    Gives also the first of these, for which a restart fails.  The others are of no interest where a
    job is to end: one that runs on changes in place what was not copied.
    """
    copied = manifest.copied
    lost = [f"{path} {why}" for path, why in facts.unreachable if path not in copied]
    fatal = (*facts.doubts, *lost, *(seen.goes if plan.request.end else ()))
    if plan.request.end and not fatal:
        return manifest, ()
    doubts = tuple(dict.fromkeys((*fatal, *seen.goes, *seen.doubts)))
    if doubts:
        log.warning(f"{plan.job}: this image would not come back as it was: {some(doubts)}")
    return manifest._replace(doubts=doubts, never=facts.doubts), fatal


def some(reasons: Sequence[str]) -> str:
    """The first few of them, for one line."""
    more = len(reasons) - _TOLD
    return "; ".join(reasons[:_TOLD]) + (f"; and {more} more" if more > 0 else "")


def write_and_read_back(
    plan: CheckpointPlan, generation: Generation, manifest: Manifest, secret: bytes
) -> None:
    """Write the manifest, then read all of the new image; NotReadBack when a restart could not."""
    try:
        generation.write_manifest(manifest, secret)
    except OSError as problem:
        if problem.errno != errno.EFBIG:
            raise
        too_large = f"its manifest is too large: {problem.strerror}"
        raise NotReadBack(job=plan.job, problem=too_large) from problem
    try:
        defect = next(_defects(plan, generation, manifest, secret), "")
    except (TorqueCkptError, OSError) as unreadable:
        raise NotReadBack(job=plan.job, problem=unreadable) from unreadable
    if defect:
        raise NotReadBack(job=plan.job, problem=defect)


def _defects(
    plan: CheckpointPlan, generation: Generation, manifest: Manifest, secret: bytes
) -> Iterator[str]:
    found = generation.manifest(secret)
    if found != manifest:
        yield "its manifest is not what was written"
    if plan.lineage.live() != plan.target.live:
        yield "the live record is not what was written"
    with generation.directory.sub(layout.IMAGE) as image:
        for file in found.image:
            if plan.checkpointer.left_out(file.name):
                yield f"{file.name} is no file that is restored"
            image_rules.checked(plan.checkpointer, image, file, found)
    if not generation.looks_whole(found):
        yield "there is a file that does not belong to it"
    yield from _shorter(plan, layout.OUTPUT, {each.kept: each.size for each in found.streams})
    yield from _shorter(plan, layout.KEPT, {each.copy: each.offset for each in found.kept})
    copies = {each.copy: each.size for each in found.watched if each.copy}
    yield from _shorter(plan, layout.COPIES, copies)


def _shorter(plan: CheckpointPlan, place: str, needed: dict[str, int]) -> Iterator[str]:
    """Those files beside the generations that have fewer bytes than are needed of them."""
    if not needed:
        return
    for name, status in zip(needed, plan.lineage.directory.stats(place, *needed)):
        if not stat.S_ISREG(status.st_mode) or status.st_size < needed[name]:
            yield f"{place}/{name} has not the {needed[name]} bytes that it needs"
