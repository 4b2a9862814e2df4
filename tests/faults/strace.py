# SPDX-License-Identifier: MIT
"""A program that is killed at its N-th system call, or whose calls fail or are slow.

strace does it; the product has nothing for this.  A signal arrives before the call does anything:
"killed at the second renameat" is killed between whatever came before it and that.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

STRACE = "/usr/bin/strace"

# Calls after which something is another than before: on the disk, among processes, in who we are.
STEPS = (
    *("mkdirat", "openat", "write", "pwrite64", "ftruncate", "fsync", "renameat", "unlinkat"),
    *("symlinkat", "fchown", "fchmod", "flock", "clone", "vfork", "wait4", "kill"),
    *("setresuid", "pidfd_send_signal", "execve", "exit_group"),
)
_CALL = re.compile(r"(?:\d+ +)?(\w+)\((.*)")


@dataclass(frozen=True)
class Step:
    """The `turn`-th call of that name, and what it was in the run that was listened to."""

    name: str
    turn: int
    seen: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.turn}: {self.seen}"


def missing() -> str:
    """Why this cannot be done here, "" when it can."""
    if not os.path.exists(STRACE):
        return "strace is not installed"
    tried = subprocess.run([STRACE, "-o", "/dev/null", "/bin/true"], capture_output=True, text=True)
    return tried.stderr.strip() if tried.returncode else ""


def steps(argv: list[str], calls: tuple[str, ...] = STEPS) -> list[Step]:
    """What a good run does, in order.  openat counts where it makes a file; the rest only reads."""
    with tempfile.TemporaryDirectory() as place:
        log = Path(place) / "log"
        words = [STRACE, "-o", log, "-e", f"trace={','.join(calls)}", *argv]
        ran = subprocess.run(words, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        text = log.read_text(errors="replace")
    return listed(text)


def listed(text: str) -> list[Step]:
    """The steps of strace's log of one process."""
    turns: Counter[str] = Counter()
    found = []
    for name, rest in (match.groups() for match in map(_CALL.match, text.splitlines()) if match):
        turns[name] += 1
        if (name, turns[name]) == ("execve", 1):  # of the program itself
            continue
        if name != "openat" or "O_CREAT" in rest:
            found.append(Step(name, turns[name], rest[:60]))
    return found


def at(step: Step, what: str, argv: list[str]) -> list[str]:
    """argv that does `what` ("signal=KILL", "error=EIO"…) at one step."""
    inject = f"inject={step.name}:{what}:when={step.turn}"
    return [STRACE, "-o", "/dev/null", "-e", f"trace={step.name}", "-e", inject, *argv]


def always(calls: str, what: str, argv: list[str], threads: bool = False) -> list[str]:
    """argv that does `what` at each of these calls; threads: in its threads as well, and in what it
    forks, but in no program that these start: CRIU does not work while it is traced."""
    words = [STRACE, *(["-f", "-b", "execve"] if threads else []), "-o", "/dev/null"]
    return [*words, "-e", f"trace={calls}", "-e", f"inject={calls}:{what}", *argv]


def sampled(found: list[Step], most: int) -> list[Step]:
    """All of them under `make test-faults`, evenly chosen ones in a quick run."""
    return spread(found, most, len(found))


def spread(found: list[Step], quick: int, full: int) -> list[Step]:
    """Evenly chosen ones: `full` of them under `make test-faults`, else `quick`."""
    count = most(quick, full)
    if len(found) <= count:
        return found
    return [found[n * (len(found) - 1) // (count - 1)] for n in range(count)]


def most(quick: int, full: int) -> int:
    """How many: `full` under `make test-faults`."""
    return full if all_steps() else quick


def kinds() -> list[str]:
    """What is done at a step: it is killed, or its call fails."""
    return ["signal=KILL", "error=ENOSPC", "error=EIO"][: most(2, 3)]


def all_steps() -> bool:
    return os.environ.get("TORQUECKPT_FAULTS") == "all"


def wrapped(program: Path, only: str, step: Step, what: str) -> None:
    """From now on the program does `what` at one step when it is called with the word `only` ("":
    with any).  Its parent and session are as if nobody traced it."""
    options = f"-o /dev/null -e trace={step.name} -e inject={step.name}:{what}:when={step.turn}"
    _put_before(program, only, options)


def slowed(program: Path, only: str, calls: str, milliseconds: int) -> None:
    """From now on each of these calls of the program takes so much longer."""
    inject = f"inject={calls}:delay_enter={milliseconds * 1000}"
    _put_before(program, only, f"-o /dev/null -e trace={calls} -e {inject}")


def listened(program: Path, only: str, log: Path, calls: tuple[str, ...] = STEPS) -> None:
    """From now on the program's steps are written into `log`."""
    _put_before(program, only, f"-o {log} -e trace={','.join(calls)}")


def _put_before(program: Path, only: str, options: str) -> None:
    real = program.with_name(f"{program.name}-itself")
    if not real.exists():
        program.rename(real)
    test = f'[ "$1" = {only} ]' if only else "true"
    program.unlink(missing_ok=True)
    program.write_text(
        f'#!/bin/sh\nif {test}; then exec {STRACE} -DDD {options} {real} "$@"; fi\n'
        f'exec {real} "$@"\n'
    )
    program.chmod(0o755)


def unwrapped(program: Path) -> None:
    program.with_name(f"{program.name}-itself").replace(program)
