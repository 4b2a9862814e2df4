# SPDX-License-Identifier: MIT
"""Merge a CRIU pre-dump and its dump into an image that stands alone.

Of pages that have not changed since the pre-dump, the dump says only that they are in its parent.
They are copied here, so that nothing that comes later knows of pre-dumps: a pages file is written
anew, in the order of its pagemap.  Shared memory is merged as well, though CRIU 4.2.1 writes all of
it again.  Called once the tree runs again, as the owner for good.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from torqueckpt.checkpointers.criu import images, pagemap
from torqueckpt.checkpointers.criu.pagemap import PAGE, Run

PARENT = "parent"  # the link to the pre-dump's directory, which CRIU makes in the image's


class _Piece(NamedTuple):
    """Pages of the merged image, to be copied from the pre-dump's pages file or the dump's."""

    run: Run
    earlier: bool
    offset: int


def merge(image_dir: Path, before: Path) -> int:
    """Merge the pre-dump; gives for how many microseconds the tree stood still at it.

    ValueError when the pre-dump lacks what the dump refers to, or a file is not CRIU's.
    """
    for file in sorted(image_dir.glob("pagemap-*.img")):
        number, runs = pagemap.read(file)
        if any(run.in_parent for run in runs):
            _merge(file, number, runs, before)
    (image_dir / PARENT).unlink(missing_ok=True)
    return images.frozen_us(before)


def _merge(file: Path, number: int, runs: list[Run], before: Path) -> None:
    earlier_number, earlier_runs = pagemap.read(before / file.name)
    for each in (runs, earlier_runs):
        _refuse_disorder(each)
    pieces = list(_pieces(runs, earlier_runs))
    pages = file.with_name(f"pages-{number}.img")
    scratch = pages.with_name(f"{pages.name}.new")
    with ExitStack() as opened:
        own = opened.enter_context(open(pages, "rb", buffering=0, opener=_only_a_file))
        earlier = opened.enter_context(
            open(before / f"pages-{earlier_number}.img", "rb", buffering=0, opener=_only_a_file)
        )
        target = opened.enter_context(open(scratch, "xb", buffering=0))
        for piece in pieces:
            source = earlier if piece.earlier else own
            _copy(source.fileno(), piece.offset, target.fileno(), piece.run.size)
    os.rename(scratch, pages)
    file.write_bytes(pagemap.written(file, (piece.run for piece in pieces)))


def _refuse_disorder(runs: list[Run]) -> None:
    """Refuse runs that are not sorted by address: others could name the same pages without end."""
    for one, other in zip(runs, runs[1:]):
        if other.address < one.end:
            raise ValueError(f"the pages at {other.address:x} come too late")


def _pieces(runs: list[Run], earlier: list[Run]) -> Iterator[_Piece]:
    """List the merged image's pieces: a run of the dump's may be several in the pre-dump."""
    there = list(_located(earlier))
    begins = [piece.run.address for piece in there]
    offset = 0
    for run in runs:
        if run.in_parent:
            yield from _found(run, there, begins)
        elif run.present:
            yield _Piece(run, False, offset)
            offset += run.size
        else:
            raise ValueError(f"the pages at {run.address:x} are nowhere")


def _located(runs: list[Run]) -> Iterator[_Piece]:
    offset = 0
    for run in runs:
        if not run.present:
            raise ValueError(f"the pages at {run.address:x} are not in the pre-dump itself")
        yield _Piece(run, True, offset)
        offset += run.size


def _found(run: Run, there: list[_Piece], begins: list[int]) -> Iterator[_Piece]:
    at = run.address
    while at < run.end:
        index = bisect_right(begins, at) - 1
        if index < 0 or at >= there[index].run.end:
            raise ValueError(f"the pages at {at:x} are not in the pre-dump")
        piece = there[index]
        until = min(run.end, piece.run.end)
        if (until - at) % PAGE:
            raise ValueError(f"the pages at {at:x} do not begin where pages do")
        part = piece.run._replace(address=at, pages=(until - at) // PAGE)
        yield _Piece(part, True, piece.offset + at - piece.run.address)
        at = until


def _copy(source: int, start: int, target: int, count: int) -> None:
    """Copy within the kernel: there may be as many bytes as the job has memory."""
    while count:
        done = os.sendfile(target, source, start, count)
        if not done:
            raise ValueError("a pages file is shorter than its pagemap says")
        start, count = start + done, count - done


def _only_a_file(name: str, flags: int) -> int:
    """Open a regular file only: the owner may have put a FIFO there, which is not waited for."""
    return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY)
