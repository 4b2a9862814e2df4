# SPDX-License-Identifier: MIT
"""Restarts by bare criu, by mom-restart and by DMTCP in turn, up to the job's first step."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks import ours
from benchmarks.bare import Bare
from benchmarks.checkpoints import DMTCP, PEAK, Size
from benchmarks.dmtcp import Dmtcp, tools
from benchmarks.place import Place, lose, room_for, settle, started
from benchmarks.rows import Row, figure, not_run, ratio
from tests.support import Running

RESTART = 1.4
_FROM_MIB, _LARGEST_DMTCP_MIB = 256, 1024


def rows(where: Place, sizes: dict[Size, int]) -> dict[str, list[Row]]:
    restarts: list[Row] = []
    dmtcp: list[Row] = []
    memory: list[Row] = []
    for size, rounds in sizes.items():
        target = RESTART if size.mebibytes >= _FROM_MIB else None
        lacks = room_for(where, size.mebibytes)
        if lacks:
            restarts.append(not_run("restart", str(size), target, lacks))
            continue
        print(f"bench: restart of {size}", file=sys.stderr, flush=True)
        mine, bare, beside, peaks = _measured(where, size, rounds)
        note = "by then ours has verified every byte of the image"
        restarts.append(ratio("restart", str(size), mine, bare, target, note))
        memory.append(figure("mom-restart as supervisor", str(size), peaks, "MiB", PEAK))
        if beside:
            dmtcp.append(ratio("restart", str(size), mine, beside, DMTCP))
        elif size.mebibytes <= _LARGEST_DMTCP_MIB:
            dmtcp.append(not_run("restart", str(size), DMTCP, "no DMTCP was found"))
    return {
        "Restart, up to the job's first step": restarts,
        "Restart beside DMTCP": dmtcp,
        "Peak memory": memory,
    }


def _measured(
    where: Place, size: Size, rounds: int
) -> tuple[list[float], list[float], list[float], list[float]]:
    """Seconds by ours, bare and DMTCP, and the supervisor's peaks; a first round does not count."""
    restored = Bare(where)
    mine: list[float] = []
    bare: list[float] = []
    beside: list[float] = []
    peaks: list[float] = []
    programs = tools() if size.mebibytes <= _LARGEST_DMTCP_MIB else None
    with started(where, size.mebibytes) as (running, job):
        pid, argv, outputs = running.exec_pid(), ours.restart_argv(running), _outputs(running)
        ours.checkpoint(running, job)
        restored.dump(pid, job)
        lose(running)
        other = Dmtcp(where, programs, size.mebibytes) if programs else None
        if other is not None:
            other.checkpoint()
        for _ in range(rounds + 1):
            settle()
            bare.append(restored.restore(pid, job, outputs))
            settle()
            seconds, peak = ours.restart(argv, pid, job)
            mine.append(seconds)
            peaks.append(peak)
            if other is not None:
                settle()
                beside.append(other.restart())
        if other is not None:
            other.end()
        restored.remove()
    return mine[1:], bare[1:], beside[1:], peaks


def _outputs(running: Running) -> list[Path]:
    return [running.site.spool / "spool" / f"{running.job}.{end}" for end in ("OU", "ER")]
