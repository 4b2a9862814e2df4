# SPDX-License-Identifier: MIT
"""A file of the administrator's as it is and as it should be; nothing is written here."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path

from torqueckpt import paths
from torqueckpt.batch.mom_config import Problem
from torqueckpt.errors import ConfigNotRight


@dataclass(frozen=True)
class PlannedFile:
    """status is None when there is no file yet."""

    file: Path
    old: bytes
    new: bytes
    status: os.stat_result | None
    problems: list[Problem]

    @property
    def changes(self) -> bool:
        return self.old != self.new


def current(path: Path) -> tuple[Path, bytes, os.stat_result | None]:
    """The file (a link of the administrator's followed to where it leads), its bytes and status.

    OSError when it is there and cannot be read.
    """
    file = path.resolve()
    try:
        with paths.Directory.open(file.parent) as directory:
            return file, directory.read(file.name), os.stat(file)
    except FileNotFoundError:
        return file, b"", None


def diff(plan: PlannedFile) -> str:
    """A unified diff; bytes that are no UTF-8 are shown as escapes."""
    old, new = (
        [line.decode("utf-8", "backslashreplace") for line in data.splitlines(keepends=True)]
        for data in (plan.old, plan.new)
    )
    lines = difflib.unified_diff(old, new, str(plan.file), f"{plan.file} (torqueckpt)")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline\n" for line in lines)


def refuse_if_stopped(plan: PlannedFile) -> None:
    """ConfigNotRight while something is wrong that daemons or jobs would suffer from."""
    stopping = [problem for problem in plan.problems if problem.stops]
    if stopping:
        raise ConfigNotRight(
            file=plan.file,
            count=len(stopping),
            which=" serious",
            consequence="; nothing was changed",
        )
