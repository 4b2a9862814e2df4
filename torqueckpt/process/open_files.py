# SPDX-License-Identifier: MIT
"""The limit on open files: a process's, and as high as may be for a checkpointer."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager


def hard_limit(pid: int) -> int | None:
    """The number below which a process's descriptors must stay; None when there is no limit."""
    try:
        with open(f"/proc/{pid}/limits") as file:
            found = next(line.split()[-2] for line in file if line.startswith("Max open files"))
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(found) if found.isdigit() else None


@contextmanager
def as_many_as_may_be() -> Iterator[None]:
    """Inside, programs that are started may open as many files as the hard limit says."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
