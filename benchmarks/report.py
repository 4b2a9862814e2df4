# SPDX-License-Identifier: MIT
"""RESULTS.md: the machine, the versions, and a table for each kind of work."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.rows import MISS, NOT_RUN, Row

_HEAD = (
    "| work | size | ours | beside | ratio or figure | from to | target | rounds | within |",
    "|---|---|---:|---:|---:|---:|---:|---:|---|",
)


def page(command: str, facts: Mapping[str, str], tables: Mapping[str, Iterable[Row]]) -> str:
    """Markdown; each note stands once below its table."""
    listed = {title: list(rows) for title, rows in tables.items()}
    every = [row for rows in listed.values() for row in rows]
    lines = [
        "# Measured",
        "",
        f"Written by `{command}`; what is measured and how: docs/performance.md.",
        "",
        *(f"- {name}: {value}" for name, value in facts.items()),
        "",
        summary(every),
    ]
    for title, rows in listed.items():
        lines += ["", f"## {title}", "", *_HEAD, *map(_line, rows)]
        notes = dict.fromkeys(row.note for row in rows if row.note)
        lines += ["", *(f"- {note}" for note in notes)] if notes else []
    return "\n".join(lines) + "\n"


def summary(rows: Iterable[Row]) -> str:
    """How many rows have a target, and which of them miss it or were not run."""
    judged = [row for row in rows if row.target is not None or row.judged is None]
    missed = [f"{row.work}, {row.size}" for row in judged if row.verdict == MISS]
    left = [f"{row.work}, {row.size}" for row in judged if row.verdict == NOT_RUN]
    text = f"{len(judged)} rows with a target; {len(missed)} miss it"
    text += f": {'; '.join(missed)}" if missed else ""
    return text + (f".  Not run: {'; '.join(left)}." if left else ".")


def machine() -> dict[str, str]:
    """What a reader has to know of where this ran."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "machine": f"{_processor()}, {os.cpu_count()} processors, {memory:.0f} GiB",
        "kernel": platform.release(),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _line(row: Row) -> str:
    judged = "" if row.judged is None else f"{row.judged:.3f}"
    target = "" if row.target is None else f"{row.target:g}"
    rounds = str(row.rounds or "")
    cells = (row.work, row.size, row.ours, row.beside, judged, row.spread, target, rounds)
    return f"| {' | '.join((*cells, row.verdict))} |"
