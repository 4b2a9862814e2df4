# SPDX-License-Identifier: MIT
"""What was seen of a lineage: since when it is over, whether a resume job of it may still wait."""

from __future__ import annotations

from torqueckpt import layout, log
from torqueckpt.store.lineage import Lineage


def noted(lineage: Lineage, over: bool, now: int) -> int | None:
    """Since when it has been seen to be over, None when it is not; remembered beside its images."""
    if not over:
        lineage.directory.remove(layout.OVER)
        return None
    known = since(lineage)
    if known is None:
        _write(lineage, layout.OVER, f"{now}\n".encode())
    return now if known is None else known


def since(lineage: Lineage) -> int | None:
    try:
        return int(lineage.directory.read(layout.OVER))
    except (OSError, ValueError):  # none yet, or torn: the time begins anew
        return None


def wanted(lineage: Lineage) -> None:
    """A resume job was written: as long as jobs of its owner wait, one may be that one."""
    _write(lineage, layout.WANTED, b"")


def is_wanted(lineage: Lineage) -> bool:
    return lineage.directory.has(layout.WANTED)


def resumed(lineage: Lineage) -> None:
    """No resume job of it waits any more: it runs."""
    try:
        lineage.directory.remove(layout.WANTED)
    except OSError as problem:
        log.warning(f"{lineage.path}/{layout.WANTED}: {problem.strerror}")


def _write(lineage: Lineage, name: str, data: bytes) -> None:
    """A note; nothing fails for want of it, a full store least of all."""
    try:
        lineage.directory.write_whole(name, data)
    except OSError as problem:
        log.warning(f"{lineage.path}/{name}: {problem.strerror}")
