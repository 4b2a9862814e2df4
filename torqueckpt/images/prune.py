# SPDX-License-Identifier: MIT
"""Remove images that the settings no longer keep, as their owner, under their lineage's lock.

The newest whole image of a job stays until a time of grace after its job's end became known.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from torqueckpt import budget, log
from torqueckpt.batch.server import Server
from torqueckpt.budget import Budget
from torqueckpt.errors import Busy, JobStillRuns, TorqueCkptError
from torqueckpt.files import intent
from torqueckpt.identity import Owner
from torqueckpt.images import pointers, retention
from torqueckpt.images.ended import JobState
from torqueckpt.images.retention import GenerationUsage, LineageUsage, Removal
from torqueckpt.process import privileges, proc
from torqueckpt.settings import Settings
from torqueckpt.store import access, claim, filesystem, index, journal, marks
from torqueckpt.store.filesystem import translated
from torqueckpt.store.lineage import Lineage, lives_here
from torqueckpt.store.store import OwnerStore


def prune(
    user: Owner | None,
    settings: Settings,
    server: Server | None,
    dry_run: bool = False,
    tell: Callable[[str], None] = log.warning,
) -> list[Removal]:
    """Remove the images that are to go, or with dry_run only list them; gives what was removed.

    user None: everybody's, as root; total size and free space count only then.  `tell` gets a line
    for each that was left alone, and for each owner who cost too much.
    """
    who = access.owners(settings) if user is None else [user]
    store = access.open_store(settings)
    job_state, now = JobState(settings, lambda: server), int(time.time())
    found: list[LineageUsage] = []
    for owner in who:
        with Budget(owner.name, budget.PRUNE).part(tell):
            _look_at(settings, owner, job_state, now, dry_run, tell, found)
    free = filesystem.free(store.root) if user is None else None
    owners = {owner.name: owner for owner in who}
    budgets = {owner.name: Budget(owner.name, budget.VERIFY) for owner in who}
    gone: list[Removal] = []
    sound: set[tuple[str, str]] = set()
    for each in retention.plan(found, settings, now, free):
        if budgets[each.owner].is_spent:
            continue
        opened = _opened(settings, owners[each.owner], each.lineage)
        part, its_own = budgets[each.owner].part(tell), budget.apart(each.lineage, tell)
        with part, its_own, opened as (owner_store, lineage):
            _refuse_in_doubt(job_state, owner_store, lineage, each, sound)
            if not dry_run:
                _remove(owner_store, lineage, each)
            gone.append(each)
    if not dry_run and os.getuid() == 0:  # also where a user has pruned his own: links are root's
        store.tidy("" if user is None else user.name)
    if not dry_run and user is None and server is not None:
        _sweep_pointers(settings, server, tell)
    return gone


def _sweep_pointers(settings: Settings, server: Server, tell: Callable[[str], None]) -> None:
    try:
        swept = pointers.sweep(settings, server, tell)
    except (TorqueCkptError, OSError) as problem:
        tell(f"{settings.pointer_dir}: pointers of ended jobs stay: {problem}")
        return
    if swept:
        log.info(f"{settings.pointer_dir}: {len(swept)} pointer directories of ended jobs went")


def _look_at(
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
        its_own, opened = budget.apart(name, tell), _opened(settings, owner, name)
        with its_own, suppress(Busy), opened as (owner_store, lineage):  # Busy: the next time
            has_ended = _is_over(job_state, owner_store, lineage)
            since = marks.since(lineage) if has_ended else None
            if not dry_run:
                since = marks.noted(lineage, has_ended, now)
                lineage.sweep()
                index.renew(lineage)
            usage = _described(lineage, owner, since)
            found.append(usage)
            if usage.unknown:
                tell(f"{name}: what it takes cannot be counted: {usage.unknown}")


def _is_over(job_state: JobState, owner_store: OwnerStore, lineage: Lineage) -> bool:
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
def _opened(settings: Settings, owner: Owner, name: str) -> Iterator[tuple[OwnerStore, Lineage]]:
    found = access.lineage_of(name, owner, settings)
    with translated(settings.store), found as (owner_store, lineage), lineage.lock(0):
        if claim.elsewhere(lineage.directory) is not None:  # its lock may not reach this node
            raise Busy(job=lineage.first_job, seconds=0)
        yield owner_store, lineage


def _refuse_in_doubt(
    job_state: JobState,
    owner_store: OwnerStore,
    lineage: Lineage,
    going: Removal,
    sound: set[tuple[str, str]],
) -> None:
    """Decide again whether an image may go, now under the lock: the job may have been resumed.

    Before an older image goes, every byte of the newest is read, once for each lineage.
    """
    if going.all:
        if not _is_over(job_state, owner_store, lineage):
            raise JobStillRuns(job=lineage.first_job, where="since just now", remedy="it stays")
    elif (going.owner, going.lineage) not in sound:
        newest = lineage.generation(going.newest)
        newest.verify(newest.manifest())
        sound.add((going.owner, going.lineage))


def _remove(owner_store: OwnerStore, lineage: Lineage, going: Removal) -> None:
    facts = {"lineage_pruned": lineage.name, "reason": going.reason, "bytes": going.bytes}
    for number in going.generations:
        lineage.remove(number)
    if going.all:
        owner_store.forget(lineage)
    else:
        lineage.sweep_copies()
    journal.note(owner_store, "prune", lineage.first_job, generations=going.generations, **facts)
    log.info(f"{lineage.name}: generations {going.generations} went: {going.reason}")
