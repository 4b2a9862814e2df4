# SPDX-License-Identifier: MIT
"""Open the store as an owner of images: his directory, or one of his lineages.

Nothing else opens it: who needs what is an owner's asks here, and works on it as that owner.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Optional

from torqueckpt import budget, log
from torqueckpt.budget import Budget
from torqueckpt.errors import (
    NamesSilent,
    StoreMissing,
    TorqueCkptError,
    UnknownJob,
    UnknownUser,
)
from torqueckpt.identity import Owner
from torqueckpt.process import privileges, worker
from torqueckpt.settings import Settings
from torqueckpt.store import former
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import OwnerStore, Store


def open_store(settings: Settings) -> Store:
    """The store's root, for what is root's in it; StoreMissing."""
    return Store.open(settings.store)


def owner_store(owner: Owner, settings: Settings) -> OwnerStore:
    """The owner's directory, for who is or acts as the owner already.

    StoreMissing when there is none: nothing of this owner's was ever checkpointed.
    """
    return open_store(settings).owner(owner)


_NAMES_SECONDS = 10.0


class _Found(NamedTuple):
    """What a worker was told of a name; None for nobody's."""

    owner: Optional[Owner] = None  # noqa: UP045 (read at run time, also by Python 3.9)


@contextmanager
def as_owner(
    owner: Owner, settings: Settings, store_optional: bool = False
) -> Iterator[OwnerStore | None]:
    """The owner's directory, acting as the owner; None when there is none yet.

    StoreMissing where there is no store at all, unless `store_optional`: then that is None too.
    """
    try:
        store = open_store(settings)
    except StoreMissing:
        if not store_optional:
            raise
        store = None
    with privileges.acting_as(owner):
        try:
            found = store.owner(owner) if store is not None else None
        except StoreMissing:
            found = None
        yield found


@contextmanager
def lineage_of(job: str, owner: Owner, settings: Settings) -> Iterator[tuple[OwnerStore, Lineage]]:
    """Open the lineage that a job id or a lineage's name stands for, as its owner; UnknownJob."""
    with as_owner(owner, settings) as owner_store:
        lineage = owner_store.lineage_of(job) if owner_store is not None else None
        if owner_store is None or lineage is None:
            elsewhere = former.words(former_with(owner, settings, job))
            raise UnknownJob(job=job, owner=owner.name, store=settings.store, elsewhere=elsewhere)
        yield owner_store, lineage


@contextmanager
def lineage_if_any(
    job: str, owner: Owner, settings: Settings
) -> Iterator[tuple[OwnerStore, Lineage] | None]:
    """As lineage_of(), with None for a job that has none, also where there is no store at all."""
    with as_owner(owner, settings, store_optional=True) as owner_store:
        lineage = owner_store.lineage_of(job) if owner_store is not None else None
        yield (owner_store, lineage) if owner_store is not None and lineage is not None else None


def owner_named(name: str, settings: Settings) -> Owner:
    """Look up a user, for root's programs on a node whose name service may hang.

    While it does, he is whom his directory in the store belongs to, which root has given to him,
    with no groups: those of a job are its processes'.  NamesSilent without one.
    """
    if os.geteuid() != 0:
        return privileges.owner(name)
    found = worker.answered(lambda: _looked_up(name), _Found, _NAMES_SECONDS)
    if found is not None and found.owner is not None:
        return found.owner
    if found is not None:
        raise UnknownUser(name=name, host=os.uname().nodename)
    status = open_store(settings).status_of(name)
    if status is None or status.st_uid == 0:
        raise NamesSilent(name=name, seconds=_NAMES_SECONDS, path=settings.store)
    log.warning(f"{name}: the name service is silent; uid {status.st_uid}, as his images have it")
    return Owner(name, status.st_uid, status.st_gid, ())


def _looked_up(name: str) -> _Found:
    try:
        return _Found(privileges.owner(name))
    except UnknownUser:
        return _Found()


def owners(settings: Settings) -> list[Owner]:
    """All users who have a directory in the store."""
    found = []
    for name in open_store(settings).owners():
        try:
            found.append(privileges.owner(name))
        except UnknownUser:  # an account that was removed; its images are the administrator's now
            continue
        except Exception as odd:  # a name service of that user's own kind, and no reason to stop
            log.warning(f"{name}: left out: {budget.words(odd)}")
    return found


def former_with(owner: Owner, settings: Settings, job: str = "") -> list[Path]:
    """The former stores that hold images of the owner's, or of one job; acting as the owner."""
    return [path for path in former.others(settings) if _holds(path, owner, settings, job)]


def anybodys_former(settings: Settings, job: str = "") -> list[Path]:
    """The former stores that hold images of anybody's, or of one job; for root."""
    found: dict[Path, None] = {}
    for path in former.others(settings):
        names = list[str]()
        with suppress(TorqueCkptError):  # it is a store no more
            names = open_store(settings._replace(store=path)).owners()
        for name in names:
            with Budget(name, budget.ROUND).part(log.info):
                owner = privileges.owner(name)
                with privileges.acting_as(owner):
                    if _holds(path, owner, settings, job):
                        found[path] = None
    return list(found)


def _holds(path: Path, owner: Owner, settings: Settings, job: str) -> bool:
    try:
        store = owner_store(owner, settings._replace(store=path))
        if job:
            return store.lineage_of(job) is not None
        return any(each.newest_number() for each in store.lineages())
    except (TorqueCkptError, OSError):  # nothing of this owner's, or nothing that can be read
        return False
