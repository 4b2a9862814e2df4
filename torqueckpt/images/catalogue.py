# SPDX-License-Identifier: MIT
"""List, verify and delete images: a user his own, root everybody's, acting as their owner."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timezone
from typing import NamedTuple

from torqueckpt import log
from torqueckpt.budget import OverBudget
from torqueckpt.errors import ImagesNeeded, LastImageKept, NoImage, RecordTorn, TorqueCkptError
from torqueckpt.files import intent
from torqueckpt.identity import Owner, job_id
from torqueckpt.manifest import Manifest
from torqueckpt.records import Live
from torqueckpt.settings import Settings
from torqueckpt.store import access, claim, index, journal
from torqueckpt.store.filesystem import translated
from torqueckpt.store.index import Line
from torqueckpt.store.lineage import Lineage, lives_here
from torqueckpt.store.store import OwnerStore

# Why a lineage's newest image is still needed, "" when it is not.
Judge = Callable[[OwnerStore, Lineage], str]

_LONGEST = 255  # characters of a host's or checkpointer's name


class GenerationRow(NamedTuple):
    """One generation in a listing; created is ISO 8601, UTC.

    doubts: why it would not come back, as far as was known when it was made; "" for none.
    """

    job: str
    lineage: str
    generation: int
    created: str
    bytes: int
    frozen_ms: int
    checkpointer: str
    host: str
    whole: bool
    owner: str
    doubts: str = ""


def rows(owner: Owner, settings: Settings, job: str | None) -> list[GenerationRow]:
    """List an owner's generations, oldest first; one with a torn manifest has whole=False.

    Of one job each manifest is read and each file's size looked at.  Of all jobs that is done only
    where the lineage's index does not tell what there is.
    """
    if job is not None:
        with access.lineage_of(job, owner, settings) as (_, lineage):
            return list(_rows(lineage, owner, {}))
    with access.as_owner(owner, settings) as owner_store:
        if owner_store is None:
            return []
        return [
            row
            for lineage in owner_store.lineages()
            for row in _rows(lineage, owner, index.read(lineage))
        ]


def waits_for_its_image(job: str, owner: Owner, settings: Settings) -> bool:
    """Whether the job was held with an image, and has not run since, nor one resumed from it."""
    with access.lineage_if_any(job, owner, settings) as found:
        return found is not None and journal.waits(*found) == job


def verify(
    job: str,
    owner: Owner,
    settings: Settings,
    number: int | None,
    read: Callable[[int], None] | None = None,
) -> list[tuple[int, str]]:
    """Read each generation's image; gives (generation, defect), "" when every byte is as written.

    `read` is told how many bytes were read, piece by piece.
    """
    with access.lineage_of(job, owner, settings) as (_, lineage):
        numbers = [number] if number is not None else lineage.numbers()
        return [(each, _defect(lineage, each, read)) for each in numbers]


def recorded(
    job: str, owner: Owner, settings: Settings, number: int | None
) -> tuple[Manifest, Live | None, bool]:
    """Read an image's manifest and live record, and whether its files are all there."""
    with access.lineage_of(job, owner, settings) as (_, lineage):
        newest = lineage.newest_number()
        if not newest:
            raise NoImage(job=job, which="")
        generation = lineage.generation(newest if number is None else number)
        found = generation.manifest()
        return found, _live(lineage), generation.looks_whole(found)


def delete(
    job: str, owner: Owner, settings: Settings, number: int | None, needed: Judge | None
) -> list[int]:
    """Delete one generation, or all of a job that has ended; gives the numbers of those deleted.

    needed: why somebody needs the newest whole image, which then stays; None to delete it all the
    same.  Of a job that runs on this node it is never deleted.
    """
    wait = settings.lock_timeout_seconds
    with access.lineage_of(job, owner, settings) as (owner_store, lineage), lineage.lock(wait):
        numbers = lineage.numbers()
        doomed = numbers if number is None else [lineage.generation(number).number]
        running = lives_here(_live(lineage)) is not None
        last = next((n for n in numbers[::-1] if not _defect(lineage, n)), None)
        kept = {last, _newest_without_doubts(lineage)} & set(doomed)
        if running and kept:
            raise LastImageKept(job=job, generation=max(filter(None, kept)), why="still runs")
        if needed is not None:
            _refuse_what_is_needed(job, owner_store, lineage, needed, doomed, bool(kept))
        _settle(lineage)  # what the job's files are still to be given back goes with its images
        for each in doomed:
            lineage.remove(each)
        if not intent.pending(lineage.directory):  # that may need them
            lineage.sweep_copies()
        journal.note(owner_store, "delete", job, generations=doomed)
        if not running and not lineage.numbers():
            owner_store.forget(lineage)
    if os.getuid() == 0:  # a user's leaves a link behind that the periodic service takes away
        access.open_store(settings).tidy(owner.name)
    return doomed


def _newest_without_doubts(lineage: Lineage) -> int | None:
    """The newest generation of which nothing makes it doubtful that it would come back."""
    for number in reversed(lineage.numbers()):
        with suppress(TorqueCkptError):
            manifest = lineage.generation(number).manifest()
            if not manifest.doubts and lineage.generation(number).looks_whole(manifest):
                return number
    return None


def _refuse_what_is_needed(
    job: str,
    owner_store: OwnerStore,
    lineage: Lineage,
    needed: Judge,
    doomed: list[int],
    takes_newest: bool,
) -> None:
    """ImagesNeeded when what somebody needs would go.

    Of damaged images one may be put right, so that the last of all counts as the newest whole one.
    """
    restart = claim.elsewhere(lineage.directory)  # of which generation it is nobody knows here
    takes_all = bool(doomed) and set(doomed) == set(lineage.numbers())
    if restart is None and not takes_newest and not takes_all:
        return
    why = needed(owner_store, lineage)
    if why:
        raise ImagesNeeded(job=job, why=why)


def _settle(lineage: Lineage) -> None:
    """Undo what a restart that died has changed; a damaged record does not stop the deletion."""
    try:
        with translated(lineage.path):
            intent.settle(lineage.directory, lineage.live())
    except RecordTorn as torn:
        log.warning(str(torn))


def _live(lineage: Lineage) -> Live | None:
    try:
        return lineage.live()
    except TorqueCkptError:  # shown, listed and deleted all the same
        return None


def _defect(lineage: Lineage, number: int, read: Callable[[int], None] | None = None) -> str:
    try:
        generation = lineage.generation(number)
        generation.verify(generation.manifest(), read)
    except TorqueCkptError as defect:
        return str(defect)
    return ""


def _rows(lineage: Lineage, owner: Owner, lines: dict[int, Line]) -> Iterator[GenerationRow]:
    for number in lineage.numbers():
        line = lines.get(number)
        try:
            if line is not None and index.counts(lineage, line):
                row = _row(lineage, owner, number, line, True)
            else:
                generation = lineage.generation(number)
                manifest = generation.manifest()
                row = _row(lineage, owner, number, manifest, generation.looks_whole(manifest))
        except OverBudget:
            raise
        except Exception:  # whatever its owner did to it
            row = GenerationRow(
                lineage.first_job, lineage.name, number, "", 0, 0, "", "", False, owner.name
            )
        yield row


def _row(
    lineage: Lineage, owner: Owner, number: int, known: Manifest | Line, whole: bool
) -> GenerationRow:
    if known.created < 0:  # datetime has years that long ago
        raise ValueError(f"{known.created}: before 1970")
    if max(len(known.host), len(known.checkpointer)) > _LONGEST:
        raise ValueError("no name of a host or a checkpointer")
    return GenerationRow(
        job=job_id(known.job if isinstance(known, Line) else known.job.id),
        lineage=lineage.name,
        generation=number,
        created=datetime.fromtimestamp(known.created, timezone.utc).isoformat(),
        bytes=known.bytes,
        frozen_ms=round(known.frozen_us / 1000),
        checkpointer=known.checkpointer,
        host=known.host,
        whole=whole,
        owner=owner.name,
        doubts=known.doubts if isinstance(known, Line) else "; ".join(known.doubts),
    )
