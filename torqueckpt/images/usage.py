# SPDX-License-Identifier: MIT
"""Find out for pruning what an owner's lineages take, and which of their jobs have ended.

Each is opened as its owner, under its lock.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from torqueckpt import budget
from torqueckpt.errors import Busy, TorqueCkptError
from torqueckpt.files import intent
from torqueckpt.identity import Owner
from torqueckpt.images.ended import JobState
from torqueckpt.images.retention import GenerationUsage, LineageUsage
from torqueckpt.process import privileges, proc
from torqueckpt.settings import Settings
from torqueckpt.store import access, claim, filesystem, index, marks
from torqueckpt.store.filesystem import translated
from torqueckpt.store.lineage import Lineage, lives_here
from torqueckpt.store.store import OwnerStore


def find(
    settings: Settings,
    owner: Owner,
    job_state: JobState,
    now: int,
    dry_run: bool,
    tell: Callable[[str], None],
    found: list[LineageUsage],
) -> None:
    """Put what there is of the owner's into `found`; some of it, when that costs too much."""
    with privileges.acting_as(owner):
        names = access.owner_store(owner, settings).lineage_names()
    begin = now % len(names) if names else 0  # so that none is always beyond the budget
    for name in names[begin:] + names[:begin]:
        its_own, its_lineage = budget.apart(name, tell), opened(settings, owner, name)
        with its_own, suppress(Busy), its_lineage as (owner_store, lineage):  # Busy: next time
            has_ended = is_over(job_state, owner_store, lineage)
            since = marks.since(lineage) if has_ended else None
            if not dry_run:
                since = marks.noted(lineage, has_ended, now)
                lineage.sweep()
                index.renew(lineage)
            usage = _described(lineage, owner, since)
            found.append(usage)
            if usage.unknown:
                tell(f"{name}: what it takes cannot be counted: {usage.unknown}")


def is_over(job_state: JobState, owner_store: OwnerStore, lineage: Lineage) -> bool:
    """Whether nobody will go on from the lineage: its jobs have ended, or have left nothing."""
    return _has_nothing(lineage) or job_state.has_ended(owner_store, lineage)


def _has_nothing(lineage: Lineage) -> bool:
    """Whether each checkpoint of a job has failed, and the job does not run here any more."""
    if lineage.numbers() or intent.pending(lineage.directory):
        return False
    try:
        live = lineage.live()
        if live is not None:
            return live.host == os.uname().nodename and lives_here(live) is None
        leader = lineage.first_leader()
    except TorqueCkptError:  # torn
        return False
    return leader is None or proc.alive(leader) is None


def _described(lineage: Lineage, owner: Owner, since: int | None) -> LineageUsage:
    images, newest, good = [], 0, 0
    for number in lineage.numbers():
        created, size = 0, 0
        with suppress(TorqueCkptError, OSError):  # torn: nothing is known of it but its room
            generation = lineage.generation(number)
            size = filesystem.below(generation.directory).bytes
            manifest = generation.manifest()
            created = manifest.created
            if generation.looks_whole(manifest):
                newest = number
                good = good if manifest.doubts else number
        images.append(GenerationUsage(owner.name, lineage.name, number, created, size))
    taken = filesystem.below(lineage.directory)
    return LineageUsage(
        owner.name, lineage.name, tuple(images), newest, since, taken.bytes, taken.unknown, good
    )


@contextmanager
def opened(settings: Settings, owner: Owner, name: str) -> Iterator[tuple[OwnerStore, Lineage]]:
    found = access.lineage_of(name, owner, settings)
    with translated(settings.store), found as (owner_store, lineage), lineage.lock(0):
        if claim.elsewhere(lineage.directory) is not None:  # its lock may not reach this node
            raise Busy(job=lineage.first_job, seconds=0)
        yield owner_store, lineage
