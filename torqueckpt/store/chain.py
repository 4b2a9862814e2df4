# SPDX-License-Identifier: MIT
"""Records of a chain.

One job done by several of the batch system's, its links, one after the other.

Its directory (layout.py) is named by the first link's job and when that began.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from torqueckpt import layout, log, typed_json
from torqueckpt.errors import TorqueCkptError
from torqueckpt.identity import is_lineage_name, lineage_name
from torqueckpt.safe_files import Directory
from torqueckpt.settings import Settings
from torqueckpt.store.filesystem import record, translated
from torqueckpt.store.store import OwnerStore

_DAY = 86400


_LOOKED_AT = 1000  # the newest: root looks here too, for the service

ENDED, CANCELLED, STOPPED = "ended", "cancelled", "stopped"


def forget_old(owner_store: OwnerStore, settings: Settings) -> None:
    """Remove chains that ended as long ago as images of ended jobs are kept."""
    days = settings.keep_ended_days
    for each in of_owner(owner_store) if days else ():
        try:
            end = each.end()
            if end is not None and end.when < time.time() - days * _DAY:
                remove(owner_store, each)
        except (TorqueCkptError, OSError) as torn:
            log.warning(str(torn))


class Link(NamedTuple):
    """A job of the chain.  lineage "" and generation 0: it ran the script from its beginning."""

    job: str
    host: str
    started: int
    lineage: str
    generation: int


class Links(NamedTuple):
    """A chain's first job, where that was submitted, and its begun links, oldest first."""

    first: str
    directory: str
    links: tuple[Link, ...]


class End(NamedTuple):
    """How a chain ended: how is one of the words above.

    status: the exit status of the user's script.
    """

    how: str
    status: int
    job: str
    when: int
    why: str


class Chain:
    """A chain's directory, held open; used only while acting as its owner."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory

    @property
    def name(self) -> str:
        return self.directory.path.name

    @property
    def owner(self) -> str:
        return self.directory.path.parent.parent.name

    @property
    def first(self) -> str:
        return self.name.rpartition("@")[0]

    def read(self) -> Links:
        with record(self.directory.path / layout.CHAIN):
            return typed_json.from_json(Links, typed_json.load(self.directory.read(layout.CHAIN)))

    def write(self, links: Links) -> None:
        with translated(self.directory.path):
            self.directory.write_whole(layout.CHAIN, typed_json.dump(links))

    def end(self) -> End | None:
        """How the chain ended; None while it goes on, RecordTorn when that cannot be read."""
        try:
            with record(self.directory.path / layout.END):
                return typed_json.from_json(End, typed_json.load(self.directory.read(layout.END)))
        except FileNotFoundError:
            return None

    def write_end(self, end: End) -> None:
        with translated(self.directory.path):
            self.directory.write_whole(layout.END, typed_json.dump(end))

    def has(self, job: str) -> bool:
        """Whether this job is the chain's first, or one of its links that have begun."""
        try:
            return job == self.first or any(each.job == job for each in self.read().links)
        except (TorqueCkptError, OSError) as torn:
            log.warning(str(torn))
            return False


def make(owner_store: OwnerStore, first: str, now: int) -> Chain:
    with translated(owner_store.path), owner_store.directory.make(layout.CHAINS) as chains:
        return Chain(chains.make(lineage_name(first, now)))


def of_owner(owner_store: OwnerStore) -> Iterator[Chain]:
    """Open an owner's chains, one after the other, newest first."""
    try:
        with owner_store.directory.sub(layout.CHAINS) as chains:
            names = sorted(filter(is_lineage_name, chains.names()), key=_began, reverse=True)
            for name in names[:_LOOKED_AT]:
                with suppress(FileNotFoundError):  # removed meanwhile
                    found = Chain(chains.sub(name))
                    if found.directory.has(layout.CHAIN):  # else it is being made just now
                        yield found
    except FileNotFoundError:
        return


def of_job(owner_store: OwnerStore, job: str) -> Chain | None:
    """Open the newest chain with this job: servers give ids again after a reset."""
    named = (chain for chain in of_owner(owner_store) if job == chain.name or chain.has(job))
    return next(named, None)


def remove(owner_store: OwnerStore, chain: Chain) -> None:
    with translated(owner_store.path), owner_store.directory.make(layout.CHAINS) as chains:
        chains.remove_tree(chain.name)


def _began(name: str) -> int:
    return int(name.rpartition("@")[2])
