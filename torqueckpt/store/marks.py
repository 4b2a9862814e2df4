# SPDX-License-Identifier: MIT
"""Marks on a lineage: since when its jobs have ended, which of them waits for its image."""

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


def held(lineage: Lineage, job: str) -> None:
    """Mark that the job was ended with an image, as by a hold, and waits for it."""
    _write(lineage, layout.HELD, f"{job}\n".encode())


def held_job(lineage: Lineage) -> str:
    """The job that waits so; "" when there is no such mark."""
    try:
        return lineage.directory.read(layout.HELD, limit=1024).decode("utf-8", "replace").strip()
    except OSError:
        return ""


def not_held(lineage: Lineage) -> None:
    """Remove that mark: the job runs, whatever became of its hold."""
    _remove(lineage, layout.HELD)


def resumed(lineage: Lineage) -> None:
    """Remove these marks: the job runs again."""
    for name in (layout.WANTED, layout.HELD):
        _remove(lineage, name)


def _remove(lineage: Lineage, name: str) -> None:
    try:
        lineage.directory.remove(name)
    except OSError as problem:
        log.warning(f"{lineage.path}/{name}: {problem.strerror}")


def _write(lineage: Lineage, name: str, data: bytes) -> None:
    """Write a mark; where that fails, as in a full store, it is only logged."""
    try:
        lineage.directory.write_whole(name, data)
    except OSError as problem:
        log.warning(f"{lineage.path}/{name}: {problem.strerror}")
