# SPDX-License-Identifier: MIT
"""Read what the periodic service needs of a job's images, acting as their owner."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from torqueckpt.ifl.records import Job
from torqueckpt.process import privileges, proc
from torqueckpt.settings import Settings
from torqueckpt.store import access
from torqueckpt.store.lineage import Lineage


class Newest(NamedTuple):
    """A job's newest image; created 0 when there is none."""

    created: float = 0.0
    frozen_seconds: float = 0.0


@contextmanager
def lineage_of(job: Job, settings: Settings) -> Iterator[Lineage | None]:
    """Inside, act as the job's owner, its lineage open; None when it has no image yet."""
    owner = privileges.owner(job.user)
    with access.lineage_if_any(job.id, owner, settings) as found:
        yield found[1] if found is not None else None


def newest(job: Job, settings: Settings) -> Newest | None:
    """The job's newest image.

    None while a checkpoint or restart is under way, which may take minutes.
    """
    with lineage_of(job, settings) as lineage:
        if lineage is not None and lineage.is_locked():
            return None
        generation = lineage.newest() if lineage is not None else None
        if generation is None:
            return Newest()
        manifest = generation.manifest()
        return Newest(manifest.created, manifest.frozen_us / 1e6)


def mom_has_timer(job: Job, settings: Settings) -> bool:
    """Whether OpenPBS's own timer works for the job: not once we have restarted it in place."""
    with lineage_of(job, settings) as lineage:
        live = lineage.live() if lineage is not None else None
        if live is None or not live.restored or live.job != job.id:
            return True
        keeper = proc.alive(live.keeper)
        return keeper is None or keeper.session != keeper.pid


def is_of(lineage: Lineage, job: Job) -> bool:
    """Whether this very job has an image: a server that was reset gives the same number again."""
    generation = lineage.newest()
    return generation is not None and generation.manifest().created >= started(job)


def started(job: Job) -> float:
    """When the job's session leader started; 0 when that is gone, as after a restart in place."""
    leader = proc.stat(job.session_id) if job.session_id else None
    return float(proc.start_epoch(leader.id)) if leader is not None else 0.0
