# SPDX-License-Identifier: MIT
"""Decide which images are to go, by age, quota, total size and free space; no file is touched."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from typing import NamedTuple, Optional

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

    good: the newest of which nothing makes it doubtful that it would come back, 0 for none.
    ended_since: when its jobs were first found to have ended, None while that is not known.
    unknown: why it may take more room than bytes, "" when all of it was seen.
    """

    owner: str
    lineage: str
    images: tuple[GenerationUsage, ...]
    newest: int
    ended_since: Optional[int]  # noqa: UP045 (read at run time, also by Python 3.9)
    bytes: int
    unknown: str = ""
    good: int = 0

    @property
    def spare(self) -> tuple[GenerationUsage, ...]:
        """The generations that can go without loss: the job needs others to go on."""
        older = (each for each in self.images if each.generation < self.newest)
        return tuple(each for each in older if each.generation != self.good)


class Removal(NamedTuple):
    """What is to be removed: some generations of a lineage, or all; newest: what is kept."""

    owner: str
    lineage: str
    generations: tuple[int, ...]
    newest: int
    all: bool
    bytes: int
    reason: str


class _Books:
    """What would still lie in the store while removals are being planned."""

    def __init__(self, left: list[LineageUsage]) -> None:
        self.left = left
        self.used = Counter[str]()  # bytes, by owner
        self.unknown = {each.owner for each in left if each.unknown}
        spare: dict[str, list[GenerationUsage]] = {}
        for each in left:
            self.used[each.owner] += each.bytes
            spare.setdefault(each.owner, []).extend(each.spare)
        # Of each owner, the generations that can go, oldest first.
        self.spare = {
            owner: deque(sorted(images, key=lambda image: image.created))
            for owner, images in sorted(spare.items())
        }
        self.all = sum(self.used.values())

    def take(self, owner: str) -> GenerationUsage:
        image = self.spare[owner].popleft()
        self.used[owner] -= image.bytes
        self.all -= image.bytes
        return image


def plan(
    found: list[LineageUsage], settings: Settings, now: int, free: int | None
) -> list[Removal]:
    """Plan what to remove.  free: bytes left on the file system, None when that does not matter.

    Never the newest whole image of a lineage that has not ended, nor of one within its grace.
    """
    ended, staying = list[LineageUsage](), list[LineageUsage]()
    for each in found:
        (ended if _grace_is_over(each, settings, now) else staying).append(each)
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
    books = _Books(staying)
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
    if settings.keep_days:
        for owner, spare in books.spare.items():
            while spare and spare[0].created + settings.keep_days * DAY <= now:
                yield books.take(owner), f"older than {settings.keep_days} days"
    if settings.user_quota_mib:
        quota, told = settings.user_quota_mib * MIB, f"more than {settings.user_quota_mib} MiB"
        for owner, spare in books.spare.items():
            while spare and (books.used[owner] > quota or owner in books.unknown):
                yield books.take(owner), f"{told} of a user's"
    if free is None:
        return
    wanted, before = settings.reserve_mib * MIB + _next_image(books), books.all
    while True:
        freed = before - books.all
        if settings.store_limit_mib and books.all > settings.store_limit_mib * MIB:
            reason = f"more than {settings.store_limit_mib} MiB in all"
        elif free + freed < wanted:
            reason = f"less than {wanted // MIB} MiB free"
        else:
            return
        # Whoever takes most gives first: no owner can have others' go by what he writes into his.
        able = [owner for owner, spare in books.spare.items() if spare]
        if not able:
            return
        yield books.take(max(able, key=lambda owner: books.used[owner])), reason


def _next_image(books: _Books) -> int:
    """The size of the largest image of a job that has not ended: its next one must find room."""
    sizes = [each.images[-1].bytes for each in books.left if each.images and not each.ended_since]
    return max(sizes, default=0)
