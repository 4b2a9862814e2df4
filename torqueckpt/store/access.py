# SPDX-License-Identifier: MIT
"""Opening the store as an owner of images: his directory in it, one of his lineages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torqueckpt.errors import StoreMissing, UnknownJob, UnknownUser
from torqueckpt.identity import Owner
from torqueckpt.process import privileges
from torqueckpt.settings import Settings
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import OwnerStore, Store


@contextmanager
def lineage_of(job: str, owner: Owner, settings: Settings) -> Iterator[tuple[OwnerStore, Lineage]]:
    """The lineage that a job id or a lineage's name stands for, as its owner; else UnknownJob."""
    store = Store.open(settings.store)
    with privileges.acting_as(owner):
        try:
            owner_store = store.owner(owner)
        except StoreMissing as nothing:
            raise UnknownJob(job=job, owner=owner.name, store=settings.store) from nothing
        lineage = owner_store.lineage_of(job)
        if lineage is None:
            raise UnknownJob(job=job, owner=owner.name, store=settings.store)
        yield owner_store, lineage


def owners(settings: Settings) -> list[Owner]:
    """Everybody who has a directory in the store."""
    found = []
    for name in Store.open(settings.store).owners():
        try:
            found.append(privileges.owner(name))
        except UnknownUser:  # an account that was removed; its images are the administrator's now
            continue
    return found
