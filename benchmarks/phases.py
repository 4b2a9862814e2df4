# SPDX-License-Identifier: MIT
"""Where the time of one mom-checkpoint goes: its own few steps in strace's clock, job of 16 MiB.

strace makes each of its system calls slower.  What it starts is not traced, and how long the
imports take, thousands of calls, is measured without.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

from benchmarks import ours
from benchmarks.place import Place, newest, settle, started
from benchmarks.rows import Row, figure, not_run
from tests.support import INSTALLED

_TRACED = "execve,setresuid,clone,clone3,fork,vfork,kill,exit_group"
# Each phase ends at the next line that looks so; they are in the order of checkpoint/checkpoint.py.
_BEGINS = "setresuid("
_PHASES = (
    ("job found, checkpointer asked its version, record written", r"clone\(child_stack=NULL"),
    ("dump, with the look at the job's files", r"kill\(\d+, SIGKILL\)"),
    ("checksums, fsync; the image read beside", r"kill\(\d+, SIGKILL\)"),
    ("manifest, names, journal, old images", r"exit_group\("),
)
_LINE = re.compile(r"([0-9.]+) (.*)")


def rows(where: Place, rounds: int) -> dict[str, list[Row]]:
    title, strace = "Where the time of a checkpoint goes", shutil.which("strace")
    if strace is None:
        return {title: [not_run("phases", "16 MiB", None, "no strace was found")]}
    spent: list[list[float]] = []
    imports: list[float] = []
    with started(where, 16) as (running, job):
        ours.checkpoint(running, job)
        for _ in range(rounds):
            settle()
            imports.append(_imports())
            spent.append(_traced(strace, ours.hook_argv(running), where.site.root / "trace"))
            newest(running)
    found = [figure("interpreter and imports", "16 MiB", imports, "ms", None)]
    for number, (name, _) in enumerate(_PHASES):
        times = [each[number] for each in spent]
        found.append(figure(name, "16 MiB", times, "ms", None))
    return {title: found}


def _imports() -> float:
    text = "import os, torqueckpt.hooks.mom_checkpoint; os._exit(0)"
    before = time.monotonic()
    subprocess.run([INSTALLED / "venv" / "bin" / "python", "-I", "-c", text], check=True)
    return (time.monotonic() - before) * 1000


def _traced(strace: str, argv: list[str], output: Path) -> list[float]:
    """Milliseconds of each phase."""
    words = [strace, "-ttt", "-e", f"trace={_TRACED}"]
    subprocess.run([*words, "-o", str(output), *argv], check=True, cwd="/")
    return phases(output.read_text())


def phases(trace: str) -> list[float]:
    """Milliseconds of each phase but the imports, in a trace of the hook."""
    found = [match.groups() for match in map(_LINE.match, trace.splitlines()) if match]
    lines = ((float(at), call) for at, call in found)
    ends = [next(at for at, call in lines if call.startswith(_BEGINS))]
    for name, pattern in _PHASES:
        end = next((at for at, call in lines if re.match(pattern, call)), None)
        assert end is not None, f"the trace does not show the end of: {name}"
        ends.append(end)
    return [(end - begin) * 1000 for begin, end in zip(ends, ends[1:])]
