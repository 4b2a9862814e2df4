# SPDX-License-Identifier: MIT
"""Read and write the records in the store that a job starter needs, as the job's owner."""

from __future__ import annotations

import os
from contextlib import suppress

from torqueckpt import log
from torqueckpt.batch import job_details
from torqueckpt.errors import CheckpointRefused, TorqueCkptError
from torqueckpt.identity import ImageRef, Owner, ProcessId
from torqueckpt.process import privileges
from torqueckpt.settings import Settings
from torqueckpt.store import access, journal, marks

_FAILED = "checkpoint-failed"


def restored_by(keeper: ProcessId, lineage: str, settings: Settings) -> ProcessId | None:
    """The root of the tree that this process has restored; None when it has not."""
    try:
        with access.lineage_of(lineage, _me(), settings) as (_, found):
            live = found.live()
    except (TorqueCkptError, OSError) as unknown:
        log.warning(str(unknown))
        return None
    return live.tree if live is not None and live.keeper == keeper else None


def why_not_restored(job: str, lineage: str, since: int, status: int, settings: Settings) -> str:
    """Why a restore failed.

    As the journal has it, else how the restore program ended, then noted.
    """
    reason = f"the restart ended with {os.waitstatus_to_exitcode(status)}; see the job's stderr"
    try:
        with access.lineage_of(lineage, _me(), settings) as (owner_store, _):
            return journal.noted_failure(owner_store, job, lineage, since, reason)
    except (TorqueCkptError, OSError) as failure:
        return str(failure)


def image_of_hold(job: str, since: int, settings: Settings) -> ImageRef | None:
    """The image with which the job was ended since then; None when that has not happened."""
    try:
        with access.lineage_of(job, _me(), settings) as (owner_store, lineage):
            last = _since(journal.last(owner_store, "job", job), since)
            number = last.get("generation")
            if last.get("event") != "checkpoint" or last.get("ended") is not True:
                return None
            return ImageRef(lineage.name, number) if isinstance(number, int) else None
    except (TorqueCkptError, OSError) as unknown:
        log.warning(str(unknown))
        return None


def note_failure(job: str, since: int, reason: str, settings: Settings) -> None:
    """Note a failed dump in the owner's journal, where rootdoor could not."""
    owner = _me()
    try:
        owner_store = access.owner_store(owner, settings)
        if _since(journal.last(owner_store, "job", job), since).get("event") != _FAILED:
            code, facts = CheckpointRefused.exit_code, job_details.facts(os.getpid(), settings)
            journal.note(owner_store, _FAILED, job, reason=reason, code=code, **facts)
    except (TorqueCkptError, OSError) as missing:
        log.warning(f"{job}: not noted: {missing}")


def note_end(job: str, how: str, settings: Settings, **facts: object) -> None:
    """Note how a job that has images ended; how: one of the journal's words for that."""
    try:
        with access.lineage_if_any(job, _me(), settings) as found:
            if found is not None:
                owner_store, lineage = found
                if how in journal.OVER:
                    marks.not_held(lineage)
                journal.note(owner_store, journal.END, job, lineage=lineage.name, how=how, **facts)
    except (TorqueCkptError, OSError) as missing:
        log.warning(f"{job}: how it ended is not noted: {missing}")


def newest(job: str, settings: Settings) -> ImageRef | None:
    """The newest image that looks whole, of a job or a lineage's name; None when there is none."""
    try:
        with access.lineage_of(job, _me(), settings) as (_, lineage):
            for number in reversed(lineage.numbers()):
                with suppress(TorqueCkptError):
                    generation = lineage.generation(number)
                    manifest = generation.manifest()
                    if generation.looks_whole(manifest) and not manifest.doubts:
                        return ImageRef(lineage.name, number)
    except (TorqueCkptError, OSError) as unknown:
        log.warning(str(unknown))
    return None


def is_of(job: str, image: ImageRef, settings: Settings) -> bool:
    """Whether the image is one of this job, and not of another that it goes on from."""
    try:
        with access.lineage_of(image.lineage, _me(), settings) as (_, lineage):
            return lineage.generation(image.generation).manifest().job.id == job
    except (TorqueCkptError, OSError) as unknown:
        log.warning(str(unknown))
        return False


def _since(noted: dict[str, object], since: int) -> dict[str, object]:
    """The journal's line, unless it is older than `since`."""
    when = noted.get("time")
    return noted if isinstance(when, int) and when >= since else {}


def _me() -> Owner:
    return privileges.owner_of_uid(os.getuid())
