# SPDX-License-Identifier: MIT
"""Compressed images beside plain ones: a job checkpointed and restarted both ways in turn."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass, field

from benchmarks import ours
from benchmarks.checkpoints import FROZEN, Size
from benchmarks.ours import Taken
from benchmarks.place import HALF_EMPTY, Place, lose, newest, room_for, settle, started
from benchmarks.rows import Row, figure, not_run, ratio

_TITLE = "Compressed images beside plain ones (zstd, level 1)"
_WAYS = ("off", "on")  # the setting `compress`
_NOTE = "a job whose pages are half empty; beside: ours with compress = off"


@dataclass
class _Measured:
    """By the setting: what was taken in each round, bytes of the images, seconds of restarts."""

    taken: dict[str, list[Taken]] = field(default_factory=lambda: {way: [] for way in _WAYS})
    size: dict[str, int] = field(default_factory=dict)
    restarts: dict[str, list[float]] = field(default_factory=lambda: {way: [] for way in _WAYS})


def rows(where: Place, sizes: dict[Size, int]) -> dict[str, list[Row]]:
    found: list[Row] = []
    for size, rounds in sizes.items():
        lacks = room_for(where, 2 * size.mebibytes)
        if lacks:
            found.append(not_run("compressed", str(size), FROZEN, lacks))
            continue
        print(f"bench: compression of {size}", file=sys.stderr, flush=True)
        found += _rows(_measured(where, size, rounds), size)
    return {_TITLE: found}


def _rows(found: _Measured, size: Size) -> list[Row]:
    frozen, wall = (
        {way: [getattr(each, what) for each in taken] for way, taken in found.taken.items()}
        for what in ("frozen", "wall")
    )
    smaller = found.size["on"] / found.size["off"]
    restarts = found.restarts
    return [
        ratio("frozen, by CRIU", str(size), frozen["on"], frozen["off"], FROZEN, _NOTE),
        ratio("whole mom-checkpoint", str(size), wall["on"], wall["off"], None),
        figure("image on the disk", str(size), [smaller], "of the plain one's bytes", None),
        ratio("restart", str(size), restarts["on"], restarts["off"], None),
    ]


def _measured(where: Place, size: Size, rounds: int) -> _Measured:
    """One round that does not count, and a job for each way."""
    found = _Measured()
    with ExitStack() as stack:
        jobs = {
            way: stack.enter_context(started(where, size.mebibytes, block=HALF_EMPTY))
            for way in _WAYS
        }
        calls = {
            way: (ours.restart_argv(running), running.exec_pid())
            for way, (running, _) in jobs.items()
        }
        for number in range(rounds + 1):
            for way, (running, job) in jobs.items():
                where.site.configure(compress=way)
                settle()
                taken = ours.checkpoint(running, job)
                if number:
                    found.taken[way].append(taken)
        for way, (running, _) in jobs.items():
            image = newest(running)[0] / "image"
            found.size[way] = sum(each.stat().st_size for each in image.iterdir())
            lose(running)
        for number in range(rounds + 1):
            for way, (_, job) in jobs.items():
                settle()
                seconds, _ = ours.restart(*calls[way], job)
                if number:
                    found.restarts[way].append(seconds)
    where.site.configure()
    return found
