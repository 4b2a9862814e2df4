# SPDX-License-Identifier: MIT
"""Decide which images are to go, by age, quota, total size and free space; no file is touched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from torqueckpt.settings import Settings

DAY = 24 * 3600

MIB = 1024 * 1024


class GenerationUsage(NamedTuple):
    """What one generation takes on the disk, in bytes; created is in seconds of the epoch."""

    owner: str
    lineage: str
    generation: int
    created: int
    bytes: int


class LineageUsage(NamedTuple):
    """What a lineage's generations take, oldest first; newest: its newest whole one, 0 for none.

    ended_since: when its jobs were first found to have ended, None while that is not known.
    """

    owner: str
    lineage: str
    images: tuple[GenerationUsage, ...]
    newest: int
    ended_since: int | None
    bytes: int

    @property
    def spare(self) -> tuple[GenerationUsage, ...]:
        """The generations that can go without loss: the job needs others to go on."""
        return tuple(each for each in self.images if each.generation < self.newest)


class Removal(NamedTuple):
    """What is to be removed: some generations of a lineage, or all; newest: what is kept."""

    owner: str
    lineage: str
    generations: tuple[int, ...]
    newest: int
    all: bool
    bytes: int
    reason: str


@dataclass
class _Books:
    """What would still lie in the store while removals are being planned."""

    left: list[LineageUsage]
    gone: set[GenerationUsage] = field(default_factory=set)

    def used(self, owner: str = "") -> int:
        held = sum(each.bytes for each in self.left if owner in ("", each.owner))
        return held - sum(each.bytes for each in self.gone if owner in ("", each.owner))

    def spare(self, owner: str) -> list[GenerationUsage]:
        """The generations that can go, oldest first."""
        mine = (image for each in self.left if each.owner == owner for image in each.spare)
        return sorted((each for each in mine if each not in self.gone), key=lambda i: i.created)


def plan(
    found: list[LineageUsage], settings: Settings, now: int, free: int | None
) -> list[Removal]:
    """Plan what to remove.  free: bytes left on the file system, None when that does not matter.

    Never the newest whole image of a lineage that has not ended, nor of one within its grace.
    """
    ended = [each for each in found if _grace_is_over(each, settings, now)]
    going = [
        Removal(
            each.owner,
            each.lineage,
            tuple(image.generation for image in each.images),
            newest=0,
            all=True,
            bytes=each.bytes,
            reason=f"ended {settings.keep_ended_days} days ago or earlier",
        )
        for each in ended
    ]
    books = _Books([each for each in found if each not in ended])
    if free is not None:
        free += sum(each.bytes for each in ended)
    newest = {(each.owner, each.lineage): each.newest for each in found}
    for image, reason in _too_many(books, settings, now, free):
        stays = newest[image.owner, image.lineage]
        one = (image.generation,)
        going.append(Removal(image.owner, image.lineage, one, stays, False, image.bytes, reason))
    return going


def _grace_is_over(found: LineageUsage, settings: Settings, now: int) -> bool:
    grace = settings.keep_ended_days * DAY
    return bool(grace) and found.ended_since is not None and found.ended_since + grace <= now


def _too_many(
    books: _Books, settings: Settings, now: int, free: int | None
) -> Iterator[tuple[GenerationUsage, str]]:
    owners = sorted({each.owner for each in books.left})
    if settings.keep_days:
        for image in [image for owner in owners for image in books.spare(owner)]:
            if image.created + settings.keep_days * DAY <= now:
                books.gone.add(image)
                yield image, f"older than {settings.keep_days} days"
    if settings.user_quota_mib:
        for owner in owners:
            while books.used(owner) > settings.user_quota_mib * MIB and books.spare(owner):
                yield _taken(books, owner), f"more than {settings.user_quota_mib} MiB of a user's"
    if free is None:
        return
    wanted, before = settings.reserve_mib * MIB + _next_image(books), books.used()
    while True:
        freed = before - books.used()
        if settings.store_limit_mib and books.used() > settings.store_limit_mib * MIB:
            reason = f"more than {settings.store_limit_mib} MiB in all"
        elif free + freed < wanted:
            reason = f"less than {wanted // MIB} MiB free"
        else:
            return
        # Whoever takes most gives first: no owner can have others' go by what he writes into his.
        able = [owner for owner in owners if books.spare(owner)]
        if not able:
            return
        yield _taken(books, max(able, key=books.used)), reason


def _next_image(books: _Books) -> int:
    """The size of the largest image of a job that has not ended: its next one must find room."""
    sizes = [each.images[-1].bytes for each in books.left if each.images and not each.ended_since]
    return max(sizes, default=0)


def _taken(books: _Books, owner: str) -> GenerationUsage:
    image = books.spare(owner)[0]
    books.gone.add(image)
    return image
