# SPDX-License-Identifier: MIT
"""Remove images that the settings no longer keep, as their owner, under their lineage's lock.

The newest whole image of a job stays until a time of grace after its job's end became known.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from torqueckpt import budget, log
from torqueckpt.batch.server import Server
from torqueckpt.budget import Budget
from torqueckpt.errors import JobStillRuns, TorqueCkptError
from torqueckpt.identity import Owner
from torqueckpt.images import pointers, retention, usage
from torqueckpt.images.ended import JobState, Silent
from torqueckpt.images.retention import LineageUsage, Removal
from torqueckpt.process import worker
from torqueckpt.settings import Settings
from torqueckpt.store import access, filesystem, journal
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import OwnerStore

_MORE_SECONDS = 60  # than an owner's budget: whoever takes them has files that hang
_LINKS_SECONDS = 600
_POINTERS_SECONDS = 3600


class _Looked(NamedTuple):
    """What a worker found of an owner's; told: line by line, what was left alone."""

    found: tuple[LineageUsage, ...]
    told: tuple[str, ...]
    silent: Silent


class _Removed(NamedTuple):
    """What a worker removed; told: line by line, what was left alone."""

    gone: tuple[Removal, ...]
    told: tuple[str, ...]
    silent: Silent


class _Tidied(NamedTuple):
    """What a worker has to tell that removed links or pointers."""

    told: tuple[str, ...] = ()


P = TypeVar("P", _Looked, _Removed)


def prune(
    user: Owner | None,
    settings: Settings,
    connect: Callable[[], Server] | None,
    dry_run: bool = False,
    tell: Callable[[str], None] = log.warning,
) -> list[Removal]:
    """Remove the images that are to go, or with dry_run only list them; gives what was removed.

    user None: everybody's, as root; total size and free space count only then.  `tell` gets a line
    for each that was left alone, and for each owner who cost too much, or whose files hang: each
    owner's are looked at, and removed, by a worker of its own.
    """
    owners = access.owners(settings) if user is None else [user]
    store = access.open_store(settings)
    pruning = _Pruning(settings, connect, dry_run, tell)
    found = [lineage for owner in owners for lineage in pruning.look(owner)]
    free = filesystem.free(store.root) if user is None else None
    planned: dict[str, list[Removal]] = {}
    for each in retention.plan(found, settings, pruning.now, free):
        planned.setdefault(each.owner, []).append(each)
    gone = [
        removal
        for owner in owners
        if owner.name in planned
        for removal in pruning.remove(owner, planned[owner.name])
    ]
    if not dry_run and os.getuid() == 0:  # also where a user has pruned his own: links are root's
        pruning.tidy("" if user is None else user.name)
    if not dry_run and user is None and connect is not None:
        pruning.sweep_pointers(connect)
    return gone


class _Pruning:
    """One prune, owner by owner; keeps whose files hang, and who is silent, batch systems too."""

    def __init__(
        self,
        settings: Settings,
        connect: Callable[[], Server] | None,
        dry_run: bool,
        tell: Callable[[str], None],
    ) -> None:
        self._settings, self._connect = settings, connect
        self._dry_run, self._tell = dry_run, tell
        self.now = int(time.time())
        self._silent = Silent()
        self._hang: set[str] = set()

    def _job_state(self) -> JobState:
        return JobState(self._settings, self._connect or (lambda: None), self._silent)

    def look(self, owner: Owner) -> tuple[LineageUsage, ...]:
        """What the owner's lineages take; some of them, when they cost too much."""

        def work() -> _Looked:
            job_state, found, told = self._job_state(), list[LineageUsage](), list[str]()
            with Budget(owner.name, budget.PRUNE).part(told.append):
                usage.find(
                    self._settings, owner, job_state, self.now, self._dry_run, told.append, found
                )
            return _Looked(tuple(found), tuple(told), job_state.silent)

        looked = self._of_owner(owner, work, _Looked, budget.PRUNE)
        return looked.found if looked is not None else ()

    def remove(self, owner: Owner, planned: list[Removal]) -> tuple[Removal, ...]:
        """Remove those of the planned that may still go; gives them."""

        def work() -> _Removed:
            job_state, gone, told = self._job_state(), list[Removal](), list[str]()
            sound: set[str] = set()
            with Budget(owner.name, budget.VERIFY).part(told.append):
                for each in planned:
                    its_own = budget.apart(each.lineage, told.append)
                    opened = usage.opened(self._settings, owner, each.lineage)
                    with its_own, opened as (owner_store, lineage):
                        _refuse_in_doubt(job_state, owner_store, lineage, each, sound)
                        if not self._dry_run:
                            _remove(owner_store, lineage, each)
                        gone.append(each)
            return _Removed(tuple(gone), tuple(told), job_state.silent)

        removed = self._of_owner(owner, work, _Removed, budget.VERIFY)
        return removed.gone if removed is not None else ()

    def _of_owner(
        self, owner: Owner, work: Callable[[], P], kind: type[P], limits: budget.Limits
    ) -> P | None:
        """What a worker finds out of an owner's, or None: that is told, as is what it tells."""
        found = worker.of_owner(owner.name, work, kind, limits.seconds + _MORE_SECONDS, self._tell)
        if found is None:
            self._hang.add(owner.name)
            return None
        for line in found.told:
            self._tell(line)
        self._silent = found.silent
        return found

    def tidy(self, name: str) -> None:
        """Remove links that lead nowhere: an owner's, or, with "", of all whose files answer."""

        def work() -> _Tidied:
            access.open_store(self._settings).tidy(name, self._hang)
            return _Tidied()

        worker.of_owner("links to images", work, _Tidied, _LINKS_SECONDS, self._tell)

    def sweep_pointers(self, connect: Callable[[], Server]) -> None:
        """Remove the pointer directories of ended jobs."""

        def work() -> _Tidied:
            told: list[str] = []
            try:
                swept = pointers.sweep(self._settings, connect(), told.append)
            except (TorqueCkptError, OSError) as problem:
                told.append(f"{self._settings.pointer_dir}: pointers of ended jobs stay: {problem}")
                return _Tidied(tuple(told))
            if swept:
                what = f"{len(swept)} pointer directories of ended jobs went"
                log.info(f"{self._settings.pointer_dir}: {what}")
            return _Tidied(tuple(told))

        swept = worker.of_owner("pointers", work, _Tidied, _POINTERS_SECONDS, self._tell)
        for line in swept.told if swept is not None else ():
            self._tell(line)


def _refuse_in_doubt(
    job_state: JobState,
    owner_store: OwnerStore,
    lineage: Lineage,
    going: Removal,
    sound: set[str],
) -> None:
    """Decide again whether an image may go, now under the lock: the job may have been resumed.

    Before an older image goes, every byte of the newest is read, once for each lineage.
    """
    if going.all:
        if not usage.is_over(job_state, owner_store, lineage):
            raise JobStillRuns(job=lineage.first_job, where="since just now", remedy="it stays")
    elif going.lineage not in sound:
        newest = lineage.generation(going.newest)
        newest.verify(newest.manifest())
        sound.add(going.lineage)


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
