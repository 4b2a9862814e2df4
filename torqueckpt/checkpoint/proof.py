# SPDX-License-Identifier: MIT
"""Read a new image back as a restart would, before anything older goes and before a job is ended.

What a restart reads is read here from the disk, by the same rules and within the same limits; only
the checksums are not taken again, which the image's files have got while they were written.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Iterator

from torqueckpt import layout
from torqueckpt.checkpoint.plan import CheckpointPlan
from torqueckpt.checkpointers import image_rules
from torqueckpt.errors import NotReadBack, TorqueCkptError
from torqueckpt.manifest import Manifest
from torqueckpt.store.generation import Generation


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
