# SPDX-License-Identifier: MIT
"""Change a grid's job wrapper, or the program that prints it, for jobs of our starter."""

from __future__ import annotations

from pathlib import Path

from torqueckpt.batch.lsf import grid_wrapper
from torqueckpt.batch.mom_config import in_file
from torqueckpt.errors import NoTermTrap
from torqueckpt.findings import Finding
from torqueckpt.site import config_file
from torqueckpt.site.config_file import PlannedFile


def plan(path: Path, *, undo: bool = False) -> PlannedFile:
    """The file as it would be written; NoTermTrap when it is no wrapper."""
    try:
        file, old, status = config_file.current(path)
    except OSError as problem:
        raise NoTermTrap(file=path, problem=problem.strerror) from problem
    if status is None:
        raise NoTermTrap(file=path, problem="no such file")
    change = grid_wrapper.arm if undo else grid_wrapper.disarm
    return PlannedFile(file, old, change(old, str(file)), status, [])


def check(plan: PlannedFile) -> list[Finding]:
    """A line for each trap that would still end a job of our starter."""
    reason = "SIGTERM calls fatal_error also in jobs that torqueckpt suspends"
    remedy = f"torqueckpt configure grid-wrapper --apply {plan.file}"
    lines = grid_wrapper.armed(plan.old)
    return [in_file(str(plan.file), line, reason, remedy) for line in lines]
