# SPDX-License-Identifier: MIT
"""What a check is, and what it tells."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from torqueckpt.checkpointers.base import Checkpointer
from torqueckpt.identity import Owner
from torqueckpt.settings import Settings
from torqueckpt.site import mom
from torqueckpt.site.mom import System

OK, WARNING, FAILURE = "ok", "warning", "failure"


class Told(NamedTuple):
    """One thing that a check found; fix is "" where nothing is to be done."""

    outcome: str
    what: str
    fix: str = ""


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
    look: Callable[[Node], Iterable[Told]]


def ok(what: str) -> Told:
    return Told(OK, what)


def warning(what: str, fix: str) -> Told:
    return Told(WARNING, what, fix)


def failure(what: str, fix: str) -> Told:
    return Told(FAILURE, what, fix)


def mom_priv() -> list[tuple[System, Path]]:
    """The MOMs of this node: where they usually have their files, and where the running one is."""
    return mom.here(mom.of_the_running())
