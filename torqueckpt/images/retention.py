# SPDX-License-Identifier: MIT
"""Which images are to go: age, quota, total size, free space.  Only figures: nothing is touched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from torqueckpt.settings import Settings

DAY = 24 * 3600

MIB = 1024 * 1024


class GenerationUsage(NamedTuple):
    """One generation, created in seconds of the epoch; bytes on the disk."""

    owner: str
    lineage: str
    generation: int
    created: int
    bytes: int


class LineageUsage(NamedTuple):
    """A lineage's, oldest first; newest is the number of its newest whole one, 0 for none.

    over_since: when it was first seen to be over, None while that is not known.
    """

    owner: str
    lineage: str
    images: tuple[GenerationUsage, ...]
    newest: int
    over_since: int | None
    bytes: int

    @property
    def spare(self) -> tuple[GenerationUsage, ...]:
        """Those that the job's going on does not need."""
        return tuple(each for each in self.images if each.generation < self.newest)


class Removal(NamedTuple):
    """What is to go: some generations of a lineage, or all that it holds; newest: what stays."""

    owner: str
    lineage: str
    generations: tuple[int, ...]
    newest: int
    all: bool
    bytes: int
    reason: str


@dataclass
class _Books:
    """What is left while more and more goes."""

    left: list[LineageUsage]
    gone: set[GenerationUsage] = field(default_factory=set)

    def used(self, owner: str = "") -> int:
        held = sum(each.bytes for each in self.left if owner in ("", each.owner))
        return held - sum(each.bytes for each in self.gone if owner in ("", each.owner))

    def spare(self, owner: str) -> list[GenerationUsage]:
        """Oldest first."""
        mine = (image for each in self.left if each.owner == owner for image in each.spare)
        return sorted((each for each in mine if each not in self.gone), key=lambda i: i.created)


def plan(
    found: list[LineageUsage], settings: Settings, now: int, free: int | None
) -> list[Removal]:
    """What the settings no longer keep; free: bytes left on the file system, None: not looked at.

    Never the newest whole image of a lineage that is not over, nor of one within its grace.
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
            reason=f"over for {settings.keep_ended_days} days",
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
    return bool(grace) and found.over_since is not None and found.over_since + grace <= now


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
    """The largest that a job which is not over has: its next one is to find room."""
    sizes = [each.images[-1].bytes for each in books.left if each.images and not each.over_since]
    return max(sizes, default=0)


def _taken(books: _Books, owner: str) -> GenerationUsage:
    image = books.spare(owner)[0]
    books.gone.add(image)
    return image
