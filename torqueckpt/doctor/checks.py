# SPDX-License-Identifier: MIT
"""What a check is, and what it tells."""

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
    """One row of the table; its fields are those of --json (docs/doctor.md)."""

    group: str
    check: str
    outcome: str
    what: str
    fix: str


class Node(NamedTuple):
    """What the checks are about; user: who the proof's jobs belong to, None for no proof."""

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
    """The MOMs of this node: where they usually have their files, and where the running one is."""
    return mom.here(mom.of_the_running())
