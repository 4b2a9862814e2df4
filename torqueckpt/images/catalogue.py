# SPDX-License-Identifier: MIT
"""The images that there are: list, verify, delete; each as the owner, each for his own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

from torqueckpt import log
from torqueckpt.errors import LastImageKept, NoImage, RecordTorn, TorqueCkptError
from torqueckpt.files import intent
from torqueckpt.identity import Owner
from torqueckpt.manifest import Manifest
from torqueckpt.process.parallel import shared
from torqueckpt.records import Live
from torqueckpt.settings import Settings
from torqueckpt.store import access, journal
from torqueckpt.store.filesystem import translated
from torqueckpt.store.journal import RESTART_FAILED
from torqueckpt.store.lineage import Lineage, lives_here

# What reading an image may raise, whatever its owner did to it.
_OWNERS_DOING = (TorqueCkptError, OSError, ValueError, OverflowError)


T = TypeVar("T")


class GenerationRow(NamedTuple):
    """One generation in a listing; created is ISO 8601, UTC."""

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


def rows(owner: Owner, settings: Settings, job: str | None) -> list[GenerationRow]:
    """One row a generation, oldest first; one whose manifest is torn has whole=False."""
    return [GenerationRow(*cells) for cells in shown(owner, settings, job, _cells)]


def shown(
    owner: Owner, settings: Settings, job: str | None, form: Callable[[GenerationRow], T]
) -> list[T]:
    """What `form` makes of each row, of strings and numbers alone: several processes do it."""
    if job is not None:
        with access.lineage_of(job, owner, settings) as (_, lineage):
            return [form(row) for row in _rows(lineage, owner)]
    with access.as_owner(owner, settings) as owner_store:
        if owner_store is None:
            return []

        def formed(names: Iterable[str]) -> list[T]:
            return [
                form(row) for lineage in owner_store.opened(names) for row in _rows(lineage, owner)
            ]

        return shared(owner_store.lineage_names(), formed)


def waits_for_its_image(job: str, owner: Owner, settings: Settings) -> bool:
    """Whether the last that happened to the job was a hold: an image was taken, and it ended."""
    with access.lineage_of(job, owner, settings) as (owner_store, _):
        noted = journal.last(owner_store, "job", job)
    return noted.get("event") == "checkpoint" and noted.get("ended") is True


def could_not_restart(job: str, owner: Owner, settings: Settings) -> bool:
    """Whether the last restart of a job failed: then it has not made use of its image yet."""
    with access.lineage_of(job, owner, settings) as (owner_store, lineage):
        return journal.last(owner_store, "lineage", lineage.name).get("event") == RESTART_FAILED


def verify(
    job: str,
    owner: Owner,
    settings: Settings,
    number: int | None,
    read: Callable[[int], None] | None = None,
) -> list[tuple[int, str]]:
    """(generation, defect) for each generation; "" where every byte is as it was written.

    `read` is told how many bytes were read, piece by piece.
    """
    with access.lineage_of(job, owner, settings) as (_, lineage):
        numbers = [number] if number is not None else lineage.numbers()
        return [(each, _defect(lineage, each, read)) for each in numbers]


def recorded(
    job: str, owner: Owner, settings: Settings, number: int | None
) -> tuple[Manifest, Live | None, bool]:
    """What `show` shows: manifest, live record, and whether its files are all there."""
    with access.lineage_of(job, owner, settings) as (_, lineage):
        newest = lineage.newest_number()
        if not newest:
            raise NoImage(job=job, which="")
        generation = lineage.generation(newest if number is None else number)
        found = generation.manifest()
        return found, _live(lineage), generation.looks_whole(found)


def delete(job: str, owner: Owner, settings: Settings, number: int | None) -> list[int]:
    """Delete one generation, or all of a job that has ended; gives the numbers that went.

    The newest whole image of a job that still runs is never deleted.
    """
    wait = settings.lock_timeout_seconds
    with access.lineage_of(job, owner, settings) as (owner_store, lineage), lineage.lock(wait):
        _settle(lineage)  # what the job's files are still to be given back goes with its images
        doomed = lineage.numbers() if number is None else [lineage.generation(number).number]
        running = lives_here(_live(lineage)) is not None
        last = next((n for n in lineage.numbers()[::-1] if not _defect(lineage, n)), None)
        if running and last in doomed:
            raise LastImageKept(job=job, generation=last, why="still runs")
        for each in doomed:
            lineage.remove(each)
        if not intent.pending(lineage.directory):  # that may need them
            lineage.sweep_copies()
        journal.note(owner_store, "delete", job, generations=doomed)
        if not running and not lineage.numbers():
            owner_store.forget(lineage)
        if os.getuid() == 0:  # a user's leaves a link behind that the next checkpoint takes away
            access.open_store(settings).tidy(owner.name)
    return doomed


def _settle(lineage: Lineage) -> None:
    """Undo what a restart that died has changed; records that are torn stop nobody."""
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


def _iso(seconds: int) -> str:
    """As datetime writes it, which takes longer; ValueError for a year that it would not read."""
    moment = time.gmtime(seconds)
    if not 1000 <= moment.tm_year <= 9999:
        raise ValueError(f"{seconds} is in the year {moment.tm_year}")
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", moment)


def _cells(row: GenerationRow) -> tuple[Any, ...]:
    return tuple(row)


def _rows(lineage: Lineage, owner: Owner) -> Iterator[GenerationRow]:
    for number in lineage.numbers():
        try:
            generation = lineage.generation(number)
            summary = generation.summary()
            whole = generation.looks_whole(summary)
            created = _iso(summary.created)
        except _OWNERS_DOING:
            yield GenerationRow(
                lineage.first_job, lineage.name, number, "", 0, 0, "", "", False, owner.name
            )
            continue
        yield GenerationRow(
            job=summary.job,
            lineage=lineage.name,
            generation=number,
            created=created,
            bytes=summary.bytes,
            frozen_ms=round(summary.frozen_us / 1000),
            checkpointer=summary.checkpointer,
            host=summary.host,
            whole=whole,
            owner=owner.name,
        )
