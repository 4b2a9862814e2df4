# SPDX-License-Identifier: MIT
"""Make all of a restart's checks on this node now, and change nothing."""

from __future__ import annotations

import os
from typing import NamedTuple

from torqueckpt.checkpointers import registry
from torqueckpt.errors import TorqueCkptError
from torqueckpt.files import intent
from torqueckpt.findings import HAZARD, OK, REFUSED, Finding
from torqueckpt.identity import Owner
from torqueckpt.manifest import Manifest
from torqueckpt.request import RestartRequest
from torqueckpt.restart import checks, claiming, door, image_view
from torqueckpt.restart.checks import fails_with
from torqueckpt.restart.choose import StepProgress, chosen, no_progress
from torqueckpt.restart.plan import Attempt, Restart
from torqueckpt.settings import Settings
from torqueckpt.store import access, claim, key
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import OwnerStore


class Rehearsal(NamedTuple):
    """What a restart would find; generation: the one it would go on from, 0 when there is none."""

    job: str
    host: str
    generation: int
    findings: tuple[Finding, ...]

    @property
    def refused(self) -> int:
        return sum(each.severity == REFUSED for each in self.findings)


def rehearse(
    request: RestartRequest,
    owner: Owner,
    settings: Settings,
    by_root: bool,
    progress: StepProgress = no_progress,
) -> Rehearsal:
    """Make the checks of a restart.  Only root can check the image's signature."""
    secret = key.read(settings.key()) if by_root else None
    with access.lineage_of(request.job_id, owner, settings) as (owner_store, lineage):
        findings = _not_at_it(owner_store, lineage, request, settings)
        shut = "" if by_root else door.closed()
        if shut:
            findings.append(Finding(REFUSED, "the door", shut))
        number = 0
        try:
            manifest = chosen(lineage, request, owner, secret, progress)
        except TorqueCkptError as defect:
            findings.append(fails_with("image", defect))
        else:
            number = manifest.generation
            what = f"generation {number}, every byte as it was written"
            findings.append(Finding(OK, "image", what))
            restart = Restart(request, owner, settings, secret, progress)
            attempt = Attempt("rehearsal", streams={})
            findings += checks.examine(restart, lineage, manifest, attempt, wait_seconds=0).findings
            findings.append(_rights(lineage, manifest, settings))
    return Rehearsal(request.job_id, os.uname().nodename, number, tuple(findings))


def _rights(lineage: Lineage, manifest: Manifest, settings: Settings) -> Finding:
    """Check the image, as its restore does, for what its owner may have written into it."""
    try:
        checkpointer = registry.load(manifest.checkpointer, settings)
        generation = lineage.generation(manifest.generation)
        image_view.refuse_excessive(checkpointer, generation, manifest)
    except TorqueCkptError as excessive:
        return fails_with("rights", excessive)
    return Finding(OK, "rights", "no more than the job had")


def _not_at_it(
    owner_store: OwnerStore, lineage: Lineage, request: RestartRequest, settings: Settings
) -> list[Finding]:
    """Check that the job does not run, and that nobody is about to restart it."""
    found = []
    try:
        claiming.refuse_if_running(owner_store, lineage.live(), request, settings)
        held = claim.read(lineage.directory)
        if held is not None and claiming.blocks(owner_store, held, request, settings):
            raise claiming.refusal(request, held)
        found.append(Finding(OK, "the job", "runs nowhere, as far as is known"))
    except TorqueCkptError as running:
        found.append(fails_with("the job", running))
    if intent.pending(lineage.directory):
        what = "a restart is under way, or has died; what it changed would be undone first"
        found.append(Finding(HAZARD, "the job's files", what))
    elif lineage.is_locked():
        found.append(Finding(HAZARD, "the job", "a checkpoint or restart of it is under way"))
    return found
