# SPDX-License-Identifier: MIT
"""Checkpoints of one job by bare criu, by ours and by DMTCP in turn, and the rows made of them."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from benchmarks import ours
from benchmarks.bare import Bare
from benchmarks.dmtcp import Dmtcp, tools
from benchmarks.place import Place, room_for, settle, started
from benchmarks.rows import Row, figure, not_run, ratio

FROZEN, OWN, DURABLE, DMTCP, PEAK = 1.02, 70.0, 1.15, 0.6, 40.0
_FROM_MIB = 256  # smaller ones are over before our part could matter
_LARGEST_OWN_MIB = 1024  # beyond, the disk's whims are larger than what is looked for
_LARGEST_DMTCP_MIB = 1024


@dataclass(frozen=True)
class Size:
    """A job to measure with."""

    mebibytes: int
    processes: int = 1

    def __str__(self) -> str:
        if self.processes > 1:
            return f"{self.processes} processes"
        gibibytes = self.mebibytes / 1024
        return f"{gibibytes:g} GiB" if gibibytes >= 1 else f"{self.mebibytes} MiB"


@dataclass
class Measured:
    """Seconds, one of each a round."""

    bare_wall: list[float] = field(default_factory=list)
    bare_frozen: list[float] = field(default_factory=list)
    bare_gap: list[float] = field(default_factory=list)
    fsync: list[float] = field(default_factory=list)
    checksum: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    frozen: list[float] = field(default_factory=list)
    gap: list[float] = field(default_factory=list)
    dmtcp: list[float] = field(default_factory=list)
    dmtcp_gap: list[float] = field(default_factory=list)
    peak_mib: float = 0.0


def measure(where: Place, size: Size, rounds: int) -> Measured:
    """One round that does not count, so that each has its files and its code in memory.

    Who comes first changes from round to round: it finds another page cache than the second.  The
    images of many processes, which are many small files, stay until the end: ext4 gives no inode of
    a file that was deleted within five seconds to another, and looks at each of them in vain.
    """
    found, bare, programs, keep = Measured(), Bare(where), tools(), size.processes > 1
    with started(where, size.mebibytes, size.processes) as (running, job):
        pid, beside = running.exec_pid(), None
        if programs and size.processes == 1 and size.mebibytes <= _LARGEST_DMTCP_MIB:
            beside = Dmtcp(where, programs, size.mebibytes)
        for number in range(rounds + 1):
            if number == 1:
                found = Measured()
            for is_ours in (number % 2 == 1, number % 2 == 0):
                settle()
                if is_ours:
                    taken = ours.checkpoint(running, job, keep)
                    found.wall.append(taken.wall)
                    found.frozen.append(taken.frozen)
                    found.gap.append(taken.gap)
                    continue
                dumped = bare.dump(pid, job)
                found.bare_wall.append(dumped.wall)
                found.bare_frozen.append(dumped.frozen)
                found.bare_gap.append(dumped.gap)
                found.fsync.append(bare.fsync())
                found.checksum.append(bare.checksum())
                if not keep:
                    bare.remove()
            if beside is not None:
                settle()
                wall, gap = beside.checkpoint()
                found.dmtcp.append(wall)
                found.dmtcp_gap.append(gap)
        found.peak_mib = ours.peak_of_checkpoint(running)
        bare.remove()
        if beside is not None:
            beside.end()
    return found


def rows(where: Place, sizes: dict[Size, int]) -> dict[str, list[Row]]:
    """By title of their table; sizes are given with their rounds."""
    frozen: list[Row] = []
    own: list[Row] = []
    durable: list[Row] = []
    dmtcp: list[Row] = []
    memory: list[Row] = []
    for size, rounds in sizes.items():
        within = FROZEN if size.mebibytes >= _FROM_MIB else None
        lacks = room_for(where, size.mebibytes)
        if lacks:
            frozen.append(not_run("job frozen", str(size), within, lacks))
            durable.append(not_run("image on the disk", str(size), DURABLE, lacks))
            continue
        print(f"bench: checkpoint of {size}", file=sys.stderr, flush=True)
        found = measure(where, size, rounds)
        frozen += _frozen(found, size, within)
        if size.mebibytes <= _LARGEST_OWN_MIB:
            own.append(_own(found, size))
        if size.processes == 1:
            durable.append(_durable(found, size))
            memory.append(figure("mom-checkpoint", str(size), [found.peak_mib], "MiB", PEAK))
        if size.processes == 1 and size.mebibytes <= _LARGEST_DMTCP_MIB:
            dmtcp += _beside_dmtcp(found, size)
    return {
        "How long the job stands still": frozen,
        "mom-checkpoint's own time": own,
        "Until the image is safe on the disk": durable,
        "Checkpoint beside DMTCP": dmtcp,
        "Peak memory": memory,
    }


def _frozen(found: Measured, size: Size, target: float | None) -> list[Row]:
    return [
        ratio("frozen, by CRIU", str(size), found.frozen, found.bare_frozen, target),
        ratio("gap in the job's own clock", str(size), found.gap, found.bare_gap, target),
    ]


def _own(found: Measured, size: Size) -> Row:
    parts = zip(found.wall, found.bare_wall, found.fsync, found.checksum)
    left = [(wall - criu - disk - read) * 1000 for wall, criu, disk, read in parts]
    note = "wall, without bare criu's wall, the fsync and the checksum of the same image"
    return figure("own time", str(size), left, "ms", OWN, note)


def _durable(found: Measured, size: Size) -> Row:
    beside = [wall + disk for wall, disk in zip(found.bare_wall, found.fsync)]
    target = DURABLE if size.mebibytes >= _FROM_MIB else None
    note = "beside: bare criu, then fsync of its files"
    return ratio("image on the disk", str(size), found.wall, beside, target, note)


def _beside_dmtcp(found: Measured, size: Size) -> list[Row]:
    works = ("checkpoint, image on the disk", "gap in the job's own clock")
    if not found.dmtcp:
        return [not_run(works[0], str(size), DMTCP, "no DMTCP was found (DMTCP_BIN names it)")]
    note = "beside: DMTCP without gzip, then fsync of its image"
    return [
        ratio(works[0], str(size), found.wall, found.dmtcp, DMTCP, note),
        ratio(works[1], str(size), found.gap, found.dmtcp_gap, None),
    ]
