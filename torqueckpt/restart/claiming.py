# SPDX-License-Identifier: MIT
"""One lineage, many nodes: who may bring it back, and what is known of the node that ran it last.

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

_REMEDY = "--force if that node is known to be over"


@contextmanager
def locked_and_claimed(
    owner_store: OwnerStore, lineage: Lineage, request: RestartRequest, settings: Settings
) -> Iterator[int]:
    """The lineage's lock, which is given, and its claim, which ends when the caller fails."""
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
    """Right before the restore: the claim is still this node's, for this job."""
    held = claim.read(lineage.directory)
    if held is None or not _of_this_node(held) or held.job != job:
        by, host, since = ("nobody", "?", "?") if held is None else _who(held)
        raise ResumedElsewhere(job=lineage.first_job, by=by, host=host, since=since, remedy=_REMEDY)


def end(lineage: Lineage) -> None:
    """This node's claim has served, or its restart has failed; the lock is held."""
    try:
        held = claim.read(lineage.directory)
        if held is not None and _of_this_node(held):
            _give_up(lineage, held)
    except TorqueCkptError as torn:
        log.warning(str(torn))


def refuse_if_running(
    owner_store: OwnerStore,
    live: Live | None,
    request: RestartRequest,
    settings: Settings,
) -> None:
    """A lineage runs once: refused while its tree lives here, or may live elsewhere."""
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
            remedy="--force if that node or job is known to be over",
        )


def known_to_have_ended(
    owner_store: OwnerStore, job: str, request: RestartRequest, settings: Settings
) -> bool:
    """Whether a job that another node ran runs no more: it was ended by a hold, its server has
    started it anew here, or says that it is over."""
    if job == request.present_job:
        return True
    if _ended_by_a_hold(owner_store, job):
        return True
    from torqueckpt.batch.server import connect, server_says_ended  # seldom wanted

    try:
        asking = privileges.acting_as_root() if os.getuid() == 0 else nullcontext()
        with asking, connect(settings, timeout_seconds=_ANSWER_SECONDS) as pbs:
            return server_says_ended(pbs, job_id(job))
    except TorqueCkptError as unknown:
        log.info(f"{job}: whether it is over cannot be asked: {unknown}")
        return False


def refusal(request: RestartRequest, held: Claim) -> ResumedElsewhere:
    by, host, since = _who(held)
    return ResumedElsewhere(job=request.job_id, by=by, host=host, since=since, remedy=_REMEDY)


def blocks(
    owner_store: OwnerStore, held: Claim, request: RestartRequest, settings: Settings
) -> bool:
    """Whether somebody else's claim counts: one of this node does not, the lock being ours, nor one
    of a job that is over; --force overrules one that is older than any two that began at once."""
    if _of_this_node(held):
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


def _of_this_node(held: Claim) -> bool:
    return (held.boot_id, held.host) == (proc.boot_id(), os.uname().nodename)


def _ended_by_a_hold(owner_store: OwnerStore, job: str) -> bool:
    """Whether its last image ended it, and it was not restarted since."""
    image = journal.last(owner_store, "job", job, "checkpoint")
    made, again = image.get("time"), journal.last(owner_store, "job", job, "restart").get("time", 0)
    known = isinstance(made, int) and isinstance(again, int) and again < made
    return known and image.get("ended") is True


def _who(held: Claim) -> tuple[str, str, str]:
    return held.job, held.host, claim.clock(held.since)
