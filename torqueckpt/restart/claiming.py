# SPDX-License-Identifier: MIT
"""See that only one node brings a lineage back, and judge whether a job of another node has ended.

A lock is not seen by other nodes on every shared file system; the claim file is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from torqueckpt import log
from torqueckpt.errors import Busy, JobStillRuns, ResumedElsewhere, TorqueCkptError
from torqueckpt.identity import job_id
from torqueckpt.process import privileges, proc
from torqueckpt.records import Claim, Live
from torqueckpt.request import RestartRequest
from torqueckpt.settings import Settings
from torqueckpt.store import claim, journal
from torqueckpt.store.filesystem import translated
from torqueckpt.store.lineage import Lineage, lives_here
from torqueckpt.store.store import OwnerStore

_ANSWER_SECONDS = 20

_REMEDY = "--force if that node is known to be down"


@contextmanager
def locked_and_claimed(
    owner_store: OwnerStore, lineage: Lineage, request: RestartRequest, settings: Settings
) -> Iterator[int]:
    """Take the lineage's lock, and its claim for all nodes.

    The claim ends when the caller fails.
    """
    try:
        with lineage.lock(settings.lock_timeout_seconds) as lock:
            own = _take(owner_store, lineage, request, settings)
            try:
                yield lock
            except BaseException:
                _give_up(lineage, own)
                raise
    except Busy as busy:
        held = claim.read(lineage.directory)
        raise busy if held is None else refusal(request, held) from busy


def refuse_without(lineage: Lineage, job: str) -> None:
    """Check, right before the restore, that the claim is still this node's, for this job."""
    held = claim.read(lineage.directory)
    if held is None or not claim.is_of_this_node(held) or held.job != job:
        by, host, since = ("nobody", "?", "?") if held is None else _who(held)
        raise ResumedElsewhere(job=lineage.first_job, by=by, host=host, since=since, remedy=_REMEDY)


def end(lineage: Lineage) -> None:
    """Remove this node's claim: the restart is done, or has failed; the lock is held."""
    try:
        held = claim.read(lineage.directory)
        if held is not None and claim.is_of_this_node(held):
            _give_up(lineage, held)
    except TorqueCkptError as torn:
        log.warning(str(torn))


def refuse_if_running(
    owner_store: OwnerStore,
    live: Live | None,
    request: RestartRequest,
    settings: Settings,
) -> None:
    """Refuse to restart a lineage whose processes live here, or may live on another node."""
    if live is None:
        return
    if live.keeper.boot_id == proc.boot_id():
        running = lives_here(live)
        if running is not None:
            raise JobStillRuns(
                job=live.job,
                where=f"process {running.pid} on this node",
                remedy="end it first, or wait for it",
            )
        return
    if live.host == os.uname().nodename or request.force:
        return
    if not known_to_have_ended(owner_store, live.job, request, settings):
        raise JobStillRuns(
            job=live.job,
            where=f"as far as is known, on {live.host}, since {claim.clock(live.written)}",
            remedy="--force if that node is known to be down, or the job to have ended",
        )


def known_to_have_ended(
    owner_store: OwnerStore, job: str, request: RestartRequest, settings: Settings
) -> bool:
    """Whether a job that ran on another node has ended, as far as is known here.

    A hold ended it, its server has started it anew here, or says that it has ended, or its starter
    has noted that.
    """
    if job == request.present_job:
        return True
    if _ended_by_a_hold(owner_store, job) or journal.end_of(owner_store, job):
        return True
    from torqueckpt.batch.lsf import bjobs  # these are seldom wanted
    from torqueckpt.batch.server import connect, server_says_ended

    try:
        if bjobs.is_lsfs(job):
            return bjobs.says_ended(job_id(job), privileges.owner_of_uid(os.geteuid()))
        asking = privileges.acting_as_root() if os.getuid() == 0 else nullcontext()
        with asking, connect(settings, timeout_seconds=_ANSWER_SECONDS) as pbs:
            return server_says_ended(pbs, job_id(job))
    except TorqueCkptError as unknown:
        log.info(f"{job}: whether it has ended cannot be asked: {unknown}")
        return False


def refusal(request: RestartRequest, held: Claim) -> ResumedElsewhere:
    by, host, since = _who(held)
    return ResumedElsewhere(job=request.job_id, by=by, host=host, since=since, remedy=_REMEDY)


def blocks(
    owner_store: OwnerStore, held: Claim, request: RestartRequest, settings: Settings
) -> bool:
    """Whether somebody's claim forbids this restart.

    One of this node does not, since the lock is ours, nor one of a job that has ended; --force
    overrules one that is older than any two that began at once.
    """
    if claim.is_of_this_node(held):
        return False
    if request.force and held.since + settings.lock_timeout_seconds < time.time():
        return False
    return not known_to_have_ended(owner_store, held.job, request, settings)


def _take(
    owner_store: OwnerStore, lineage: Lineage, request: RestartRequest, settings: Settings
) -> Claim:
    own = Claim(
        host=os.uname().nodename,
        boot_id=proc.boot_id(),
        pid=os.getpid(),
        job=request.present_job,
        since=int(time.time()),
    )
    with translated(lineage.path):
        claim.sweep(lineage.directory, own.boot_id)
        held = claim.read(lineage.directory)
        if held is not None:
            if blocks(owner_store, held, request, settings):
                raise refusal(request, held)
            claim.remove(lineage.directory, held)
        if claim.take(lineage.directory, own):
            return own
    winner = claim.read(lineage.directory)
    raise Busy(job=request.job_id, seconds=0) if winner is None else refusal(request, winner)


def _give_up(lineage: Lineage, own: Claim) -> None:
    try:
        claim.remove(lineage.directory, own)
    except OSError as problem:
        log.warning(f"{lineage.path}: its claim stays: {problem.strerror}")


def _ended_by_a_hold(owner_store: OwnerStore, job: str) -> bool:
    """Whether the job's last image was taken to end it, and nothing has restarted it since."""
    image = journal.last(owner_store, "job", job, "checkpoint")
    made, again = image.get("time"), journal.last(owner_store, "job", job, "restart").get("time", 0)
    known = isinstance(made, int) and isinstance(again, int) and again < made
    return known and image.get("ended") is True


def _who(held: Claim) -> tuple[str, str, str]:
    return held.job, held.host, claim.clock(held.since)
