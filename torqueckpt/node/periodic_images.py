# SPDX-License-Identifier: MIT
"""Read what the periodic service needs of an owner's images and records: all his jobs together.

It is done in a worker, acting as the owner: whatever he has put there to be waited for, or to fill
the memory with, ends the worker.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Optional

from torqueckpt import budget
from torqueckpt.batch import qsub_options
from torqueckpt.budget import Budget
from torqueckpt.chain import walltime
from torqueckpt.checkpoint import turns
from torqueckpt.ifl.records import Job
from torqueckpt.node.background import Done
from torqueckpt.process import privileges, proc
from torqueckpt.process.worker import RootWorker
from torqueckpt.reports import interval
from torqueckpt.resubmit import resume_script
from torqueckpt.settings import Settings
from torqueckpt.store import access
from torqueckpt.store.lineage import Lineage

_SECONDS = 45  # the budget's, and some more for one large manifest
_MEMORY_MIB = 1024
_WRITTEN_SECONDS = 60  # a file server may be slow


class Wanted(NamedTuple):
    """A job, and what is wanted of it beside its newest image.

    last: whether a last checkpoint is to be waited for; timer: whether MOM's own works.
    """

    job: Job
    last: bool
    timer: bool


class Seen(NamedTuple):
    """What was seen of one job.

    looked: whether its images could be looked at.  busy: a checkpoint waits for its turn, or one or
    a restart is under way, which may take minutes.  created: of its newest image, 0 when there is
    none; of_this: that is this very job's, not one's that had its number before.  last_ms: how old
    its session leader may become, where it is time to wait for a last checkpoint, else -1.
    """

    job: str
    looked: bool = False
    busy: bool = False
    created: int = 0
    frozen_us: int = 0
    of_this: bool = False
    mom_has_timer: bool = True
    last_ms: int = -1


class Looks(NamedTuple):
    """Those of an owner's jobs that his budget reached, and what went wrong.

    mtbf_seconds: between failures, by his journal, where that was asked for.
    """

    jobs: tuple[Seen, ...]
    problems: tuple[str, ...]
    mtbf_seconds: Optional[int] = None  # noqa: UP045 (read at run time, also by Python 3.9)


def begin(
    user: str, jobs: Sequence[Wanted], rate_too: bool, settings: Settings
) -> RootWorker[Looks]:
    """Have a worker look at jobs of one user."""

    def work() -> Looks:
        return _look(user, jobs, rate_too, settings)

    return RootWorker(work, _SECONDS, memory_mib=_MEMORY_MIB)


def _look(user: str, jobs: Sequence[Wanted], rate_too: bool, settings: Settings) -> Looks:
    seen, problems, mtbf = list[Seen](), list[str](), None
    with Budget(user, budget.ROUND).part(problems.append):
        for wanted in jobs:
            seen.append(Seen(wanted.job.id))  # reached, also where it is the last that is
            with budget.apart(wanted.job.id, problems.append):
                limit = walltime.limit_if_near(wanted.job, settings) if wanted.last else None
                if limit is not None:
                    seen[-1] = seen[-1]._replace(last_ms=int(limit * 1000))
            with budget.apart(wanted.job.id, problems.append):
                seen[-1] = _seen(seen[-1], wanted, settings)
        if rate_too:
            mtbf = int(interval.rate_of(privileges.owner(user), settings)[0].mtbf_seconds)
    return Looks(tuple(seen), tuple(problems), mtbf)


def _seen(found: Seen, wanted: Wanted, settings: Settings) -> Seen:
    # OpenPBS's MOM takes no image of an array's member by itself
    found = found._replace(looked=True, mom_has_timer="[" not in wanted.job.id)
    with lineage_of(wanted.job, settings) as lineage:
        if turns.has_one(wanted.job.id, os.geteuid()):
            return found._replace(busy=True)
        if lineage is None:
            return found
        if lineage.is_locked():
            return found._replace(busy=True)
        if wanted.timer and found.mom_has_timer:
            found = found._replace(mom_has_timer=_mom_has_timer(lineage, wanted.job))
        generation = lineage.newest()
        if generation is None:
            return found
        manifest = generation.manifest()
        return found._replace(
            created=manifest.created,
            frozen_us=manifest.frozen_us,
            of_this=manifest.created >= started(wanted.job),
        )


def begin_to_remember(job: Job, known: Job, settings: Settings) -> RootWorker[Done]:
    """Have a worker keep what a job asked for, as its server knows it, with its images."""

    def work() -> Done:
        with lineage_of(job, settings) as lineage:
            if lineage is not None:
                asked = qsub_options.of_server(known, resume_script.script_of(lineage))
                resume_script.keep(lineage, job.id, asked)
        return Done()

    return RootWorker(work, _WRITTEN_SECONDS, memory_mib=_MEMORY_MIB)


@contextmanager
def lineage_of(job: Job, settings: Settings) -> Iterator[Lineage | None]:
    """Inside, act as the job's owner, its lineage open; None when it has no image yet."""
    owner = access.owner_named(job.user, settings)
    with access.lineage_if_any(job.id, owner, settings) as found:
        yield found[1] if found is not None else None


def _mom_has_timer(lineage: Lineage, job: Job) -> bool:
    """Whether OpenPBS's own timer works for the job: not once we have restarted it in place."""
    live = lineage.live()
    if live is None or not live.restored or live.job != job.id:
        return True
    keeper = proc.alive(live.keeper)
    return keeper is None or keeper.session != keeper.pid


def started(job: Job) -> float:
    """When the job's session leader started; 0 when that is gone, as after a restart in place."""
    leader = proc.stat(job.session_id) if job.session_id else None
    return float(proc.start_epoch(leader.id)) if leader is not None else 0.0
