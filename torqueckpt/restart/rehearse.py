# SPDX-License-Identifier: MIT
"""Would a job restart on this node now?  The restart's own checks, and nothing is changed."""

from __future__ import annotations

import os
from typing import NamedTuple

from torqueckpt.checkpointers.finding import HAZARD, REFUSED
from torqueckpt.errors import TorqueCkptError
from torqueckpt.files import intent
from torqueckpt.identity import Owner
from torqueckpt.request import RestartRequest
from torqueckpt.restart import checks, claiming, door
from torqueckpt.restart.checks import FINE, Fit
from torqueckpt.restart.choose import StepProgress, chosen, no_progress
from torqueckpt.settings import Settings
from torqueckpt.store import access, claim, key
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import OwnerStore


class Rehearsal(NamedTuple):
    """generation is the one that a restart would go on from, 0 when there is none."""

    job: str
    host: str
    generation: int
    fits: tuple[Fit, ...]

    @property
    def refused(self) -> int:
        return sum(each.severity == REFUSED for each in self.fits)


def rehearse(
    request: RestartRequest,
    owner: Owner,
    settings: Settings,
    by_root: bool,
    progress: StepProgress = no_progress,
) -> Rehearsal:
    """Root also looks at the image's signature, which only root can."""
    secret = key.read(settings.key()) if by_root else None
    with access.lineage_of(request.job_id, owner, settings) as (owner_store, lineage):
        fits = _not_at_it(owner_store, lineage, request, settings)
        shut = "" if by_root else door.closed()
        if shut:
            fits.append(Fit(REFUSED, "the door", shut))
        number = 0
        try:
            manifest = chosen(lineage, request, owner, secret, progress)
        except TorqueCkptError as defect:
            fits.append(Fit(REFUSED, "image", str(defect), defect))
        else:
            number = manifest.generation
            fits.append(Fit(FINE, "image", f"generation {number}, every byte as it was written"))
            now = ((), "rehearsal", owner, settings, 0)
            found = checks.examine(lineage, manifest, request, *now, progress)
            fits += found.fits
    return Rehearsal(request.job_id, os.uname().nodename, number, tuple(fits))


def _not_at_it(
    owner_store: OwnerStore, lineage: Lineage, request: RestartRequest, settings: Settings
) -> list[Fit]:
    """That nobody runs the job, and nobody is about to."""
    fits = []
    try:
        claiming.refuse_if_running(owner_store, lineage.live(), request, settings)
        held = claim.read(lineage.directory)
        if held is not None and claiming.blocks(owner_store, held, request, settings):
            raise claiming.refusal(request, held)
        fits.append(Fit(FINE, "the job", "runs nowhere, as far as is known"))
    except TorqueCkptError as running:
        fits.append(Fit(REFUSED, "the job", str(running), running))
    if intent.pending(lineage.directory):
        what = "a restart is under way, or has died; what it changed would be undone first"
        fits.append(Fit(HAZARD, "the job's files", what))
    elif lineage.is_locked():
        fits.append(Fit(HAZARD, "the job", "a checkpoint or restart of it is under way"))
    return fits
