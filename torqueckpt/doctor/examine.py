# SPDX-License-Identifier: MIT
"""Make all checks in their order; one that fails to run is reported, the others are made."""

from __future__ import annotations

import os
from collections.abc import Iterator

from torqueckpt.checkpointers import registry
from torqueckpt.checkpointers.base import Checkpointer
from torqueckpt.doctor import batch_system, cleaners, kernel, programs, proof, store
from torqueckpt.doctor.checks import Check, CheckRow, Node, failure
from torqueckpt.errors import NeedsRoot, TorqueCkptError
from torqueckpt.findings import Finding
from torqueckpt.identity import Owner
from torqueckpt.log import one_line
from torqueckpt.process import privileges
from torqueckpt.settings import Settings

CHECKS: tuple[Check, ...] = (
    *kernel.CHECKS,
    *programs.CHECKS,
    *store.CHECKS,
    *batch_system.CHECKS,
    *cleaners.CHECKS,
    *proof.CHECKS,
)


def examine(settings: Settings, user: Owner | None, full: bool = False) -> Iterator[CheckRow]:
    """Make each check; gives its rows as they come.  Root only."""
    if os.geteuid() != 0:
        raise NeedsRoot(what="torqueckpt doctor", remedy="sudo torqueckpt doctor")
    nobody = user or privileges.owner("nobody")
    node = Node(settings, _checkpointer(settings), user, nobody)
    for check in (*CHECKS, *(proof.RESOURCE_CHECKS if full else ())):
        yield from _rows(check, node)


def _rows(check: Check, node: Node) -> Iterator[CheckRow]:
    try:
        for told in check.look(node):
            yield _row(check, told)
    except (TorqueCkptError, OSError) as failed:
        fix = "torqueckpt-exit-codes(7); the system log"
        yield _row(check, failure(f"cannot be looked at: {failed}", fix))


def _row(check: Check, found: Finding) -> CheckRow:
    what, fix = one_line(found.what), one_line(found.remedy)
    return CheckRow(check.group, check.name, found.severity, what, fix)


def _checkpointer(settings: Settings) -> Checkpointer | None:
    """The settings' checkpointer; for "auto" the one that this node can run, if any."""
    try:
        if settings.checkpointer == "auto":
            return registry.chosen(settings)[0]
        return registry.load(settings.checkpointer, settings)
    except TorqueCkptError:  # the check of its version says why
        return None
