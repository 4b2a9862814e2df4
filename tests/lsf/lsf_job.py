# SPDX-License-Identifier: MIT
"""A job as LSF sees it: res, and all that is below it by its parents."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import alive, stat_fields, wait_until


@dataclass
class LsfJob:
    """One job: PEND is nothing we need, so RUN, USUSP, and DONE or EXIT."""

    number: int
    index: int
    command: str
    out: Path
    environment: dict[str, str]
    directory: Path  # LSB_CHKPNT_DIR
    state: str = "RUN"
    reasons: int = 0
    migrated: bool = False
    res: subprocess.Popen[bytes] = field(init=False)

    @property
    def id(self) -> str:
        return f"{self.number}[{self.index}]" if self.index else str(self.number)

    def spooled(self) -> str:
        """Its output so far: LSF delivers the file when the job has ended."""
        return self.out.read_text()

    def processes(self) -> list[int]:
        """res and all below it, by parents."""
        found = [self.res.pid] if alive(self.res.pid) else []
        for pid in found:
            found += [child for child in _children(pid) if alive(child)]
        return found

    def all_states(self) -> set[str]:
        """Of res and all below it."""
        return {state for pid in self.processes() if (state := _state(pid))}

    def starter(self) -> int:
        return wait_until(lambda: next(filter(_is_starter, self.processes()), None))

    def tree(self) -> list[int]:
        """What runs below the starter."""
        found = _children(self.starter())
        for pid in found:
            found += _children(pid)
        return [pid for pid in found if alive(pid)]

    def rss_mib(self) -> int:
        """Of all of its processes."""
        texts = (Path(f"/proc/{pid}/status").read_text() for pid in self.processes())
        rows = [line for text in texts for line in text.splitlines() if line.startswith("VmRSS")]
        return sum(int(row.split()[1]) for row in rows) // 1024

    def states(self) -> set[str]:
        """Of that, once none of it waits for a disk: before, it cannot be stopped."""

        def now() -> list[set[str]]:
            found = {state for pid in self.tree() if (state := _state(pid))}
            return [] if "D" in found else [found]

        return wait_until(now)[0]

    def programs(self) -> list[int]:
        """The user's part of that."""
        return [pid for pid in self.tree() if b"/rootdoor\0" not in _cmdline(pid)]

    def wait_for_line(self, number: int) -> None:
        wait_until(lambda: f"line {number}\n" in self.spooled())


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(word) for word in text.split()]


def _state(pid: int) -> str:
    try:
        return stat_fields(pid)[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _is_starter(pid: int) -> bool:
    words = _cmdline(pid).split(b"\0")
    return len(words) > 2 and words[2].endswith(b"/lsf-jobstarter")
