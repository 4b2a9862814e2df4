# SPDX-License-Identifier: MIT
"""A lineage's claim: which node restarts it, where other nodes do not see its lock.

Taken before anything is looked at, given up once the tree runs and the live record names it, or
nothing was changed.  On one node the lock decides: a claim of this boot, found while holding the
lock, is of one that was killed.
"""

from __future__ import annotations

import os
import time

from torqueckpt import layout, typed_json
from torqueckpt.process import proc
from torqueckpt.records import Claim
from torqueckpt.safe_files import Directory
from torqueckpt.store.filesystem import record


def read(lineage: Directory) -> Claim | None:
    """The present claim.

    None when nobody restarts the lineage, RecordTorn when it cannot be read.
    """
    try:
        with record(lineage.path / layout.CLAIM):
            return typed_json.from_json(Claim, typed_json.load(lineage.read(layout.CLAIM)))
    except FileNotFoundError:
        return None


def elsewhere(lineage: Directory) -> Claim | None:
    """The claim of a restart that is under way on another node; None when there is none."""
    held = read(lineage)
    return None if held is None or is_of_this_node(held) else held


def is_of_this_node(held: Claim) -> bool:
    return (held.boot_id, held.host) == (proc.boot_id(), os.uname().nodename)


def take(lineage: Directory, claim: Claim) -> bool:
    """Write the claim; False when another node was first."""
    return lineage.write_once(layout.CLAIM, typed_json.dump(claim), _aside(claim))


def remove(lineage: Directory, claim: Claim) -> None:
    """Remove this very claim, and no other that has come in its place."""
    aside = _aside(claim)
    try:
        lineage.rename(layout.CLAIM, aside)
    except FileNotFoundError:
        return
    moved = lineage.read(aside)
    lineage.remove(aside)
    if moved != typed_json.dump(claim):
        lineage.write_once(layout.CLAIM, moved, aside)


def sweep(lineage: Directory, boot_id: str) -> None:
    """Remove what processes of this boot have left that were killed; the lock is held."""
    for name in lineage.names():
        if name.startswith(_aside_of(boot_id)):
            lineage.remove(name)


def _aside(claim: Claim) -> str:
    return f"{_aside_of(claim.boot_id)}{claim.pid}"


def _aside_of(boot_id: str) -> str:
    return f"claim.{boot_id}."


def clock(since: int) -> str:
    """Format a record's time for people."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(since))
    except (OverflowError, OSError, ValueError):  # the file is its owner's
        return "an impossible time"
