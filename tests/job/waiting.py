# SPDX-License-Identifier: MIT
"""Trees whose processes each wait in another system call (waiting_calls.c), and what came of it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.support import INSTALLED, LIMIT_SECONDS, User, wait_until
from torqueckpt.checkpointers.base import Dump
from torqueckpt.checkpointers.criu.criu import Criu
from torqueckpt.process import privileges
from torqueckpt.rights import contain
from torqueckpt.settings import Settings

_SOURCE = Path(__file__).with_suffix("").with_name("waiting_calls.c")
CALLS = 48  # each is made by a process's first thread, and by another's second

Key = tuple[str, str]  # a call, and which thread waits in it


class Ended(NamedTuple):
    """How a call ended: "limit" (its time was over), "ok", or an errno; and after how many us."""

    outcome: str
    us: int


def compiled(directory: Path) -> Path:
    program = directory / "waiting_calls"
    compiler = shutil.which("cc")
    assert compiler is not None
    subprocess.run([compiler, "-Wall", "-pthread", "-o", program, _SOURCE], check=True)
    return program


@dataclass(frozen=True)
class Calls:
    """What the program tells in a directory."""

    directory: Path

    @property
    def results(self) -> Path:
        return self.directory / "results"

    def _lines(self, which: str) -> list[list[str]]:
        lines = self.results.read_text().splitlines() if self.results.exists() else []
        return [words for words in (line.split("\t") for line in lines) if words[0] == which]

    def wait_for_all(self, calls: int = CALLS) -> None:
        wait_until(lambda: len(self.begun()) == 2 * calls)

    def begun(self) -> dict[Key, int]:
        """The process of each call."""
        return {(call, role): int(pid) for _, call, role, pid in self._lines("begun")}

    def ended(self) -> dict[Key, Ended]:
        return {(w[1], w[2]): Ended(w[3], int(w[4])) for w in self._lines("ended")}

    def signal_all(self) -> None:
        for pid in self.begun().values():
            os.kill(pid, signal.SIGUSR1)

    def go(self) -> None:
        """Let each call without a time limit have what it waits for."""
        self.results.with_suffix(".go").touch()


@dataclass(frozen=True)
class Tree(Calls):
    """The program, below a session's leader as a job's is."""

    user: User
    leader: subprocess.Popen[bytes]

    @classmethod
    def begin(cls, user: User, program: Path, seconds: int, *calls: str) -> Tree:
        """calls: those to make, all unless there are any."""
        directory = user.directory()
        words = (program, seconds, directory / "results", *calls)
        argv = user.argv("/bin/sh", "-c", f"{' '.join(map(str, words))}; exit $?")
        none = subprocess.DEVNULL
        leader = subprocess.Popen(
            argv, cwd="/", stdin=none, stdout=none, stderr=none, start_new_session=True
        )
        tree = cls(directory, user, leader)
        tree.wait_for_all(len(calls) or CALLS)
        return tree

    def end(self, status: int = 0) -> dict[Key, Ended]:
        """How each call ended, once all have."""
        self.go()
        assert self.leader.wait(LIMIT_SECONDS) in (0, status)
        return self.ended()

    def dump(self, hook: str) -> str:
        """Dump it and let it run on; gives why that failed.

        hook: shell commands, done while it is frozen.
        """
        script = self.directory / "hook"
        script.write_text(
            f'#!/bin/sh\n[ "$CRTOOLS_SCRIPT_ACTION" = post-dump ] || exit 0\n{hook}\n'
        )
        script.chmod(0o755)
        criu, work, argv = self._dump_argv(script)
        done = contain.run_alone(argv, LIMIT_SECONDS, criu.preloaded(criu.dump_library, tcp=False))
        return "" if done.ok else criu.reason(work, "dump") or done.last_line()

    def dump_killed(self, after: int) -> int:
        """Dump it with a CRIU that is killed at a ptrace call, 0: at none; gives how many calls."""
        criu, work, argv = self._dump_argv(None)
        note = work.with_suffix(".trace")
        kill = f"inject=ptrace:signal=KILL:when={after}" if after else "trace=ptrace"
        words = ["strace", "-qq", "-o", str(note), "-e", "trace=ptrace", "-e", kill, *argv]
        given = [
            f"{name}={value}"
            for name, value in criu.preloaded(criu.dump_library, tcp=False).items()
        ]
        at = words.index(str(criu.program))
        words[at:at] = ["/usr/bin/env", *given]  # strace itself has no need of it
        subprocess.run(words, env={"XDG_RUNTIME_DIR": "/nonexistent"}, check=False)
        return sum(line.startswith("ptrace(") for line in note.read_text().splitlines())

    def _dump_argv(self, hook: Path | None) -> tuple[Criu, Path, list[str]]:
        place, work = self.user.directory(), self.user.directory()
        criu = Criu(Settings(criu_path=INSTALLED / "criu" / "criu"))
        criu.dump_library = INSTALLED / "preload" / "continue-calls.so"
        pid = self.leader.pid
        root = int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
        words = criu.dump_argv(Dump(root, place, work, False, False, hook))
        owner = privileges.owner(self.user.name)
        return criu, work, privileges.as_owner_argv(owner, criu.capabilities(False), words)


def worst_lateness(ended: dict[Key, Ended], seconds: int) -> float:
    """By how many seconds a call without a dump has ended after its time limit, at most."""
    return max(each.us / 1e6 - seconds for each in ended.values() if each.outcome == "limit")


def long_enough(begun: float, seconds: float) -> None:
    """So long at least the calls have waited, when they are dumped."""
    time.sleep(max(begun + seconds - time.monotonic(), 0))
