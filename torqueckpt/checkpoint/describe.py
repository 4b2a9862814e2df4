# SPDX-License-Identifier: MIT
"""The manifest of a new image: what was asked for, what the image says, what this node is."""

from __future__ import annotations

import os
import time
from typing import Any

from torqueckpt import log, manifest
from torqueckpt.batch import job_details
from torqueckpt.checkpoint.target import Target
from torqueckpt.checkpointers.base import ImageFacts
from torqueckpt.errors import TorqueCkptError
from torqueckpt.files.record import Look
from torqueckpt.identity import Owner
from torqueckpt.manifest import Job, Manifest, Node
from torqueckpt.process import monotonic_waits, node, proc
from torqueckpt.request import CheckpointRequest
from torqueckpt.settings import Settings
from torqueckpt.store.lineage import Lineage


def manifest_of(
    request: CheckpointRequest, target: Target, facts: ImageFacts, seen: Look, **rest: Any
) -> Manifest:
    """`rest` are the fields that only the action itself knows."""
    return Manifest(
        format=manifest.FORMAT,
        checkpoint_name=request.name,
        sid=request.sid,
        exec_pid=target.root.pid,
        processes=facts.processes,
        files=facts.files,
        watched=seen.watched,
        rules=seen.rules,
        remarks=seen.remarks,
        frozen_us=facts.frozen_us,
        created=int(time.time()),
        host=os.uname().nodename,
        boot_id=proc.boot_id(),
        monotonic_seconds=monotonic_waits.now(),
        kernel=os.uname().release,
        node=Node(os.uname().machine, node.features(), facts.builds),
        **rest,
    )


def job_of(target: Target, lineage: Lineage, scripts: dict[str, str], settings: Settings) -> Job:
    who: Owner = target.owner
    known = job_details.of_job(
        target.live.job, target.leader_pid, _script(lineage, scripts), settings
    )
    if not known.submit_dir:  # restarted in place: MOM sets nothing then
        for generation in reversed(lineage.generations()):
            try:
                return generation.manifest().job._replace(id=target.live.job)
            except TorqueCkptError as torn:
                log.warning(str(torn))
    return Job(
        id=target.live.job,
        owner=who.name,
        uid=who.uid,
        gid=who.gid,
        groups=who.groups,
        start=proc.start_epoch(target.live.keeper),
        name=known.name,
        spec=known.spec,
        submit_dir=known.submit_dir,
        directives=known.directives,
    )


def _script(lineage: Lineage, scripts: dict[str, str]) -> str:
    """The job script's text, for its directives."""
    with lineage.directory.make("kept") as directory:
        texts = [directory.read(name) for name in scripts.values() if name.endswith(".SC")]
    return texts[0].decode("utf-8", "replace") if texts else ""
