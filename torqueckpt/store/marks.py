# SPDX-License-Identifier: MIT
"""Marks on a lineage: when its jobs were found to have ended, and whether a resume job may wait."""

from __future__ import annotations

from torqueckpt import layout, log
from torqueckpt.store.lineage import Lineage


def noted(lineage: Lineage, ended: bool, now: int) -> int | None:
    """Mark whether the lineage's jobs have ended; gives since when, None when they have not."""
    if not ended:
        lineage.directory.remove(layout.OVER)
        return None
    known = since(lineage)
    if known is None:
        _write(lineage, layout.OVER, f"{now}\n".encode())
    return now if known is None else known


def since(lineage: Lineage) -> int | None:
    try:
        return int(lineage.directory.read(layout.OVER, limit=20))
    except (OSError, ValueError):  # none yet, or torn: the time begins anew
        return None


def wanted(lineage: Lineage) -> None:
    """Mark that a resume job was written.

    As long as its owner has waiting jobs, one may be that.
    """
    _write(lineage, layout.WANTED, b"")


def is_wanted(lineage: Lineage) -> bool:
    return lineage.directory.has(layout.WANTED)


def resumed(lineage: Lineage) -> None:
    """Remove that mark: the resume job runs."""
    try:
        lineage.directory.remove(layout.WANTED)
    except OSError as problem:
        log.warning(f"{lineage.path}/{layout.WANTED}: {problem.strerror}")


def _write(lineage: Lineage, name: str, data: bytes) -> None:
    """Write a mark; where that fails, as in a full store, it is only logged."""
    try:
        lineage.directory.write_whole(name, data)
    except OSError as problem:
        log.warning(f"{lineage.path}/{name}: {problem.strerror}")
