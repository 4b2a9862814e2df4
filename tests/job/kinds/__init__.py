# SPDX-License-Identifier: MIT
"""Kinds of resources that a job may hold at its checkpoint: a small program for each.

A program gets hold of its resource, calls pause(), and checks after it that the resource is as it
was.  What the file `go` ends is a pause that the checkpoint, the kill and the restart fall into.
"""

from __future__ import annotations

from tests.job.kinds import (
    attributes,
    events,
    files,
    helpers,
    locks,
    memory,
    network,
    processes,
    signals,
    temporary,
    unusual,
)
from tests.job.kinds.kind import Kind

KINDS: tuple[Kind, ...] = (
    *files.KINDS,
    *temporary.KINDS,
    *locks.KINDS,
    *memory.KINDS,
    *events.KINDS,
    *signals.KINDS,
    *network.KINDS,
    *processes.KINDS,
    *helpers.KINDS,
    *attributes.KINDS,
    *unusual.KINDS,
)
