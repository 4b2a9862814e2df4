# SPDX-License-Identifier: MIT
"""All that is looked at before a restart touches anything; a rehearsal looks at the very same."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from torqueckpt import checkpointers, log
from torqueckpt.checkpointers.finding import NOTE, REFUSED
from torqueckpt.errors import GroupsChanged, NodeDiffers, RestoreFailed, TorqueCkptError
from torqueckpt.files.check import Findings
from torqueckpt.identity import Owner
from torqueckpt.manifest import Manifest
from torqueckpt.process import privileges
from torqueckpt.records import LiveStream
from torqueckpt.request import RestartRequest
from torqueckpt.restart import fitting, rollback
from torqueckpt.restart.fitting import FINE, Fit
from torqueckpt.restart.phases import Phase, untold
from torqueckpt.settings import Settings
from torqueckpt.store.lineage import Lineage


class Examination(NamedTuple):
    """fits are what was found; files is what is to be done for the job's files, None when one of
    the fits says that it cannot be."""

    fits: tuple[Fit, ...]
    files: Findings | None


def examine(
    lineage: Lineage,
    made: Manifest,
    request: RestartRequest,
    streams: Iterable[LiveStream],
    attempt: str,
    who: Owner,
    settings: Settings,
    wait_seconds: float,
    phase: Phase = untold,
) -> Examination:
    """Nothing is changed here.  wait_seconds: how long process numbers may still be in use."""
    files, fits = None, []
    try:
        files = rollback.checked(lineage, made, request, streams, attempt, settings, phase)
        changes = len(files.changes)
        fits.append(Fit(FINE, "files", f"all there, {changes} to be brought back"))
    except TorqueCkptError as wrong:
        fits.append(Fit(REFUSED, "files", str(wrong), wrong))
    try:
        privileges.with_groups(who, made.job.gid, made.job.groups)
        fits.append(Fit(FINE, "groups", f"the {len(made.job.groups)} of the image"))
    except GroupsChanged as lost:
        fits.append(Fit(REFUSED, "groups", str(lost), lost))
    try:
        checkpointer = checkpointers.load(made.checkpointer, settings)
    except TorqueCkptError as unknown:
        return Examination((*fits, Fit(REFUSED, "checkpointer", str(unknown), unknown)), files)
    fits += fitting.of_node(made, checkpointer, request.moves)
    if any(each.severity == REFUSED for each in fits):
        wait_seconds = 0
    fits.append(fitting.numbers_in_time(made, checkpointer, wait_seconds))
    return Examination(tuple(fits), files)


def approved(found: Examination, made: Manifest, request: RestartRequest) -> Findings:
    """What is to be done for the files, when nothing stands in the way of the restart."""
    refused = [each for each in found.fits if each.severity == REFUSED]
    for each in found.fits:
        if each.severity not in (FINE, NOTE):
            log.warning(f"{made.job.id}: {each.severity}: {each.subject}: {each.what}")
    for each in refused:
        if each.error is not None:
            raise each.error
    if refused == [each for each in refused if each.subject == fitting.NUMBERS] != []:
        reason = f"process numbers {refused[0].what}"
        raise RestoreFailed(job=made.job.id, generation=made.generation, reason=reason)
    if refused or found.files is None:
        raise NodeDiffers(
            job=request.job_id,
            generation=made.generation,
            host=os.uname().nodename,
            problems="; ".join(f"{each.subject}: {each.what}" for each in refused),
        )
    return found.files
