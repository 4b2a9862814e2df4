# SPDX-License-Identifier: MIT
"""What is known of a checkpoint before its dump, of the dump after it, and of the whole image."""

from __future__ import annotations

from typing import NamedTuple

from torqueckpt.checkpoint.target import Target
from torqueckpt.checkpointers.base import Checkpointer, ImageFacts
from torqueckpt.files.record import Look
from torqueckpt.manifest import Ceiling, Connection, ImageFile, Manifest, Stream
from torqueckpt.process.sockets import Tcp
from torqueckpt.request import CheckpointRequest
from torqueckpt.settings import Settings
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import OwnerStore


class CheckpointPlan(NamedTuple):
    """A checkpoint that nothing forbids, as it stands right before the dump.

    depth: how many generations are kept.  waiting: pids of the tree that wait for a time of the
    monotonic clock.  stopped_themselves: pids of those that are stopped by their own doing.  tcp:
    the tree's TCP sockets.  ceiling: the most that the tree's processes may
    have.  outputs: descriptors of the job's stdout and stderr, for reading.  inherited: descriptors
    that the checkpointer inherits, the lineage's lock above all: it outlives a caller that is
    killed, and the next action waits until it has let go of the job.  again: the dump right before
    has met the job with a connection that it could not save.
    """

    request: CheckpointRequest
    settings: Settings
    owner_store: OwnerStore
    lineage: Lineage
    depth: int
    checkpointer: Checkpointer
    checkpointer_version: str
    target: Target
    waiting: tuple[int, ...]
    stopped_themselves: tuple[int, ...]
    tcp: tuple[Tcp, ...]
    ceiling: Ceiling | None
    outputs: tuple[int, ...]
    inherited: tuple[int, ...]
    again: bool = False

    @property
    def job(self) -> str:
        return self.target.live.job


class Dumped(NamedTuple):
    """The result of a dump: what was seen of the job's files, and how long it took.

    established_tcp: the image may have connections, and a restore of it has to be told.
    """

    seen: Look
    wall_ms: int
    established_tcp: bool
    frozen_before_us: int = 0
    connections: tuple[Connection, ...] = ()


class SavedImage(NamedTuple):
    """What an image holds and what is kept beside it.

    scripts are the batch system's files (path → its copy), streams the job's output up to the
    freeze, image the checksums.
    """

    facts: ImageFacts
    scripts: dict[str, str]
    streams: tuple[Stream, ...]
    image: tuple[ImageFile, ...]


class NewImage(NamedTuple):
    """A new generation; left_out: how many of the job's processes are not in it.

    lost: why it would not come back, as far as is known.
    """

    manifest: Manifest
    left_out: int
    lost: tuple[str, ...]
