# SPDX-License-Identifier: MIT
"""What the doctor's checks are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from torqueckpt.checkpointers.base import Checkpointer
from torqueckpt.findings import FAILURE, OK, WARNING, Finding
from torqueckpt.identity import Owner
from torqueckpt.settings import Settings
from torqueckpt.site import mom
from torqueckpt.site.mom import System


class CheckRow(NamedTuple):
    """One row of the doctor's table; its fields are those of --json (docs/doctor.md)."""

    group: str
    check: str
    outcome: str
    what: str
    fix: str


class Node(NamedTuple):
    """What the checks look at.  user: the owner of the proof's jobs, None for no proof."""

    settings: Settings
    checkpointer: Checkpointer | None
    user: Owner | None
    nobody: Owner  # for what any user must be able to do


class Check(NamedTuple):
    group: str
    name: str
    look: Callable[[Node], Iterable[Finding]]


def ok(what: str) -> Finding:
    return Finding(OK, "", what)


def warning(what: str, fix: str) -> Finding:
    return Finding(WARNING, "", what, fix)


def failure(what: str, fix: str) -> Finding:
    return Finding(FAILURE, "", what, fix)


def mom_priv() -> list[tuple[System, Path]]:
    """Find this node's MOMs.

    In their usual directories, and where the running one has its files.
    """
    return mom.here(mom.of_the_running())
