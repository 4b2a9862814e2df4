# SPDX-License-Identifier: MIT
"""Take a job's last checkpoint, which ends it just before its walltime does.

The periodic service starts a process of its own for each such job some time before that: nothing
that the service waits for can make it late.
"""

from __future__ import annotations

import os
import subprocess
import time

from torqueckpt import budget, log, paths, run
from torqueckpt.batch import walltime
from torqueckpt.budget import Budget, OverBudget
from torqueckpt.errors import NeedsRoot, TorqueCkptError
from torqueckpt.identity import Owner
from torqueckpt.ifl.records import Job
from torqueckpt.process import memory, proc, tree
from torqueckpt.restart import output
from torqueckpt.settings import Settings
from torqueckpt.store import access, chain, journal
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import OwnerStore

_LOOK_SECONDS = 2.0  # a job's size changes
_AHEAD_SECONDS = 900
_LATEST = 20  # images, and jobs, whose dumps count
_LONGEST_SECONDS = 30 * 86400.0  # more is nobody's dump: journal and manifests are their owner's


class Waiting:
    """The processes that wait for a job's last checkpoint, one for each job of this node."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # By job and session: a job that was held has another session afterwards.
        self._all: dict[tuple[str, int | None], subprocess.Popen[bytes]] = {}

    def has(self, job: Job) -> bool:
        """Whether the job's process runs or has done its work; not when somebody has killed it."""
        known = self._all.get((job.id, job.session_id))
        return known is not None and known.poll() in (None, 0)

    def begin(self, job: Job, limit: float) -> None:
        """Start the job's process; limit: as of limit_if_near()."""
        words = [job.id, str(job.session_id), job.user, f"{limit:.1f}"]
        program = str(paths.program("bin", "torqueckpt"))
        null = subprocess.DEVNULL
        self._all[job.id, job.session_id] = subprocess.Popen(
            [program, "last-checkpoint", *words], stdin=null, stdout=null
        )

    def forget_all_but(self, jobs: set[str]) -> None:
        for key in [key for key, each in self._all.items() if each.poll() is not None]:
            if key[0] not in jobs:
                del self._all[key]


def limit_if_near(job: Job, settings: Settings) -> float | None:
    """How old the job's session leader may become, once it is time to wait for that; else None."""
    limit = _limit_of(job, settings)
    return limit if limit is not None and _is_near(job, limit, settings) else None


def _limit_of(job: Job, settings: Settings) -> float | None:
    """How old the job's session leader may become.

    None without a limit, or without a last checkpoint.

    What a restart in place or a factor of MOM's adds, the server knows.
    """
    leader = proc.stat(job.session_id) if job.session_id else None
    walltime = job.walltime_limit_seconds
    if leader is None or not walltime or not _is_wanted(job, settings):
        return None
    return walltime - max((job.walltime_seconds or 0) - proc.age_seconds(leader), 0)


def _is_near(job: Job, limit: float, settings: Settings) -> bool:
    """Whether it is time to start the process that waits for the job's last checkpoint."""
    leader = proc.stat(job.session_id or 0)
    if leader is None:
        return False
    expected = _expected(job.id, leader, job.user, settings)
    ahead = expected + _AHEAD_SECONDS
    return proc.age_seconds(leader) >= walltime.begins(limit, ahead, settings.chain_margin_seconds)


def end_in_time(job: str, sid: int, user: str, limit: float, settings: Settings) -> None:
    """Wait, then checkpoint and end the job before its session leader is `limit` seconds old.

    Whatever fails, the job runs on to its limit.
    """
    if os.getuid() != 0:
        raise NeedsRoot(what="a last checkpoint", remedy="the periodic service takes it")
    first = proc.stat(sid)
    tried: float | None = None
    while first is not None:
        leader = proc.alive(first.id)
        if leader is None:
            break
        expected = _expected(job, leader, user, settings)
        at: float | None = walltime.begins(limit, expected, settings.chain_margin_seconds)
        if tried is not None:
            at = walltime.again(tried, limit, expected)
        if at is None:
            log.warning(f"{job}: no last checkpoint, there is no time left for one")
            break
        age = proc.age_seconds(leader)
        if age < at:
            time.sleep(min(at - age, _LOOK_SECONDS))
            continue
        program = str(paths.program("sbin", "mom-checkpoint"))
        finished = run.run(
            [program, str(sid), job, user, "1"],
            timeout_seconds=settings.lock_timeout_seconds + 4 * settings.dump_timeout_seconds,
        )
        if finished.ok:
            log.info(f"{job}: checkpointed and ended {limit - age:.0f} s before its walltime")
            with Budget(user, budget.ROUND).part(log.warning):
                _say_how_to_go_on(job, access.owner_named(user, settings), settings)
            return
        log.warning(f"{job}: last checkpoint failed: {finished.last_line()}")
        tried = proc.age_seconds(leader)


def _say_how_to_go_on(job: str, owner: Owner, settings: Settings) -> None:
    """Tell it in the job's stderr, which MOM is about to deliver; a chain goes on by itself."""
    with access.as_owner(owner, settings) as owner_store:
        if owner_store is not None and chain.of_job(owner_store, job) is not None:
            return
    told = f"ended before its walltime; to go on: torqueckpt resume-job {job}"
    output.tell_in_output(job, owner, settings, told)


def _is_wanted(job: Job, settings: Settings) -> bool:
    """Whether the job's environment, queue or chain asks for a last checkpoint."""
    pairs = (item.partition("=") for item in job.text("Variable_List").split(","))
    if walltime.wanted({name: value for name, _, value in pairs}):
        return True
    if job.queue in settings.chain_queues:
        return True
    owner = access.owner_named(job.user, settings)
    try:
        with access.as_owner(owner, settings, store_optional=True) as owner_store:
            found = chain.of_job(owner_store, job.id) if owner_store is not None else None
            return found is not None and found.end() is None
    except OverBudget:
        raise
    except Exception as torn:  # whatever its owner has put there
        log.warning(f"{job.id}: {budget.words(torn)}")
        return False


def _expected(job: str, leader: proc.Stat, user: str, settings: Settings) -> float:
    measured: list[float] = []
    with Budget(user, budget.ROUND).part(log.warning):
        measured = _measured_as(access.owner_named(user, settings), job, settings)
    return walltime.expected_seconds(
        measured, 0 if measured else memory.to_dump(tree.below(leader))
    )


def _measured_as(owner: Owner, job: str, settings: Settings) -> list[float]:
    try:
        with access.lineage_if_any(job, owner, settings) as found:
            return _measured(*found) if found is not None else []
    except OverBudget:
        raise
    except Exception as torn:  # whatever its owner has put there
        log.warning(f"{job}: {budget.words(torn)}")
        return []


def _measured(owner_store: OwnerStore, lineage: Lineage) -> list[float]:
    """Seconds that this lineage's dumps took.

    Those in manifests, and whole calls in the journal.
    """
    found = []
    for number in lineage.numbers()[-_LATEST:]:
        try:
            found.append(lineage.generation(number).manifest().wall_ms / 1000)
        except TorqueCkptError as torn:
            log.warning(str(torn))
    for job in owner_store.jobs_of(lineage)[-_LATEST:]:
        took = journal.last(owner_store, "job", job, "checkpoint").get("took_ms")
        if type(took) is int:
            found.append(took / 1000)
    return [each for each in found if 0 <= each <= _LONGEST_SECONDS]
