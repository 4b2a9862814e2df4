# SPDX-License-Identifier: MIT
"""A call for a checkpoint that comes again: MOM repeats itself, and several may come at once."""

from __future__ import annotations

import time

from torqueckpt import log
from torqueckpt.checkpoint.target import gone
from torqueckpt.errors import TorqueCkptError
from torqueckpt.manifest import Manifest
from torqueckpt.process import proc
from torqueckpt.request import CheckpointRequest
from torqueckpt.store.lineage import Lineage


def made_already(
    lineage: Lineage, request: CheckpointRequest, since: float, secret: bytes
) -> Manifest | None:
    """The newest generation when this call asks for that one: the same name again, or where the
    name does not tell a call that arrived before it was made.  A call that is to end a job that
    still runs is never answered so: the job has gone on since."""
    numbers = lineage.numbers()
    if not numbers:
        return None
    try:
        generation = lineage.generation(numbers[-1])
        newest = generation.manifest(secret)
    except TorqueCkptError as torn:
        log.warning(str(torn))
        return None
    if newest.job.id != request.job_id or newest.checkpoint_name != request.name:
        return None
    if newest.lineage != lineage.name or not generation.looks_whole(newest):
        return None
    just_now = since <= newest.created <= time.time() + 1  # not ahead: the clock was set back
    if not request.named_once and not just_now:
        return None
    return None if request.end and _runs(lineage, request) else newest


def _runs(lineage: Lineage, request: CheckpointRequest) -> bool:
    """Whether there is a process to end: the one that was named, or the recorded tree."""
    if request.exec_pid is not None and not gone(request):
        return True
    live = lineage.live()
    return live is not None and live.tree is not None and proc.alive(live.tree) is not None
