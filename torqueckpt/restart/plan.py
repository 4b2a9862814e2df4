# SPDX-License-Identifier: MIT
"""What is known of a restart: when it is asked for, once it is prepared, before the restore."""

from __future__ import annotations

from typing import NamedTuple

from torqueckpt.checkpointers.base import Checkpointer
from torqueckpt.identity import Owner
from torqueckpt.manifest import Manifest
from torqueckpt.records import Intent, LiveStream
from torqueckpt.request import RestartRequest
from torqueckpt.restart.choose import StepProgress, no_progress
from torqueckpt.restart.verify import MemoryVerifier
from torqueckpt.settings import Settings
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import OwnerStore


class Restart(NamedTuple):
    """A restart that is asked for, of the owner's job.

    key: with one only signed images count.  progress: tells people who wait how far it is.
    verifier: verifies the job's memory while that is restored, and not before.
    in_place: a daemon restarts the job, not a new job of its owner's.
    """

    request: RestartRequest
    owner: Owner
    settings: Settings
    key: bytes | None = None
    progress: StepProgress = no_progress
    verifier: MemoryVerifier | None = None
    in_place: bool = False


class Attempt(NamedTuple):
    """One attempt at a restart: what is cut from the job's files is named with its id.

    streams is where stdout and stderr go now (stream name → the file).
    """

    id: str
    streams: dict[str, LiveStream]


class Prepared(NamedTuple):
    """A restart whose owner's part is done.

    The image is chosen, the lineage's lock held, the intent written, the job's files and output are
    as they were at the freeze.
    """

    owner_store: OwnerStore
    lineage: Lineage
    manifest: Manifest
    lock: int
    owner: Owner
    settings: Settings
    verifier: MemoryVerifier | None = None
    in_place: bool = False


class RestorePlan(NamedTuple):
    """An image that nothing forbids to restore.

    owner has the groups that the job had, and lock is what the checkpointer inherits.
    """

    checkpointer: Checkpointer
    lineage: Lineage
    manifest: Manifest
    intended: Intent
    owner: Owner
    lock: int
    settings: Settings
    verifier: MemoryVerifier | None
    in_place: bool
