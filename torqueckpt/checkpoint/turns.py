# SPDX-License-Identifier: MIT
"""Have the checkpoints of a node wait for each other before the dump: as a rule one at a time.

The queue is a file of root's in /run.  Holds and last checkpoints come first, then owners who have
had the least of the last minutes.  Nobody can keep others waiting for long: a checkpoint that takes
more than a minute keeps only its own owner's others, and one that ends its job goes on after some
seconds in any case.  A job runs on while its checkpoint waits.  Times are the monotonic clock's.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from torqueckpt import log, typed_json
from torqueckpt.errors import NodeBusy, SessionGone
from torqueckpt.identity import Owner, ProcessId
from torqueckpt.process import job_processes, privileges, proc
from torqueckpt.request import CheckpointRequest
from torqueckpt.safe_files import Directory
from torqueckpt.settings import Settings

PLACE = Path("/run")
_DIRECTORY, _QUEUE, _LOCK = "torqueckpt", "turns", "lock"
_LONG_SECONDS = 60.0  # longer ones are not waited for, and who waits longer finds room for more
_ENDING_SECONDS = 10.0  # the job has so little time to wait, perhaps, before its walltime is over
_REMEMBERED_SECONDS = 600.0
_PROCESSORS_EACH = 4  # where there is room for more
_LOCK_SECONDS = 5.0
_LOOK_SECONDS = 0.1


class Turn(NamedTuple):
    """A checkpoint that waits, or began at that time; ends: it is to end its job."""

    process: ProcessId
    uid: int
    job: str
    ends: bool
    arrived: float
    began: float = 0.0


class Past(NamedTuple):
    """A turn that is over: whose it was, when it ended and how long it took."""

    uid: int
    ended: float
    seconds: float


class Queue(NamedTuple):
    """All turns of the node, as the file has them."""

    turns: tuple[Turn, ...] = ()
    past: tuple[Past, ...] = ()

    def without(self, process: ProcessId) -> Queue:
        return self._replace(turns=tuple(each for each in self.turns if each.process != process))


@contextmanager
def turn(
    request: CheckpointRequest, owner: Owner, keeper: ProcessId | None, settings: Settings
) -> Iterator[int]:
    """Inside, it is this checkpoint's turn; gives how many ms it has waited for that.

    keeper: the process that lives as long as the job.  NodeBusy after dump_wait_seconds,
    SessionGone when the job has ended meanwhile: MOM does not let go of a job whose checkpoint is
    under way.  Where the queue cannot be kept, nobody waits.
    """
    now = time.monotonic()
    mine = Turn(proc.still_me(), owner.uid, request.job_id, request.end, now)
    try:
        yield int(_waited(mine, request.sid, keeper, settings) * 1000)
    finally:
        _changed(lambda queue: _left(queue, mine.process, time.monotonic()))


def has_one(job: str, uid: int) -> bool:
    """Whether a checkpoint of that owner's job waits or is under way on this node, for root."""
    try:
        with _opened() as place:
            turns = _read(place).turns
    except OSError:
        return False
    return any((each.job, each.uid) == (job, uid) and _lives(each) for each in turns)


def _waited(mine: Turn, sid: int, keeper: ProcessId | None, settings: Settings) -> float:
    """Wait for the turn; gives the seconds."""
    limit, told = _ENDING_SECONDS if mine.ends else settings.dump_wait_seconds, False
    while True:
        ahead = _ahead(mine, settings.dumps_at_once)
        now = time.monotonic()
        if ahead == 0:
            if told:
                log.info(f"{mine.job}: its turn came after {now - mine.arrived:.1f} s")
            return now - mine.arrived
        if keeper is not None and proc.alive(keeper) is None:
            raise SessionGone(sid=sid)
        if now >= mine.arrived + limit:
            if not mine.ends:
                raise NodeBusy(job=mine.job, seconds=int(limit), count=ahead)
            log.info(f"{mine.job}: it is to end, and waits no longer for {ahead} other(s)")
            _changed(lambda queue: _begun(queue, mine, time.monotonic()))
            return now - mine.arrived
        if not told:
            log.info(f"{mine.job}: waits, {ahead} other checkpoint(s) of this node come first")
            told = True
        time.sleep(min(_LOOK_SECONDS * ahead, 1))


def _ahead(mine: Turn, at_once: int) -> int:
    """How many come first; 0 when the turn has begun.

    A checkpoint that another one calls, as that of a job's shim `chkpnt`, is part of that.
    """
    found, me = 0, proc.stat(mine.process.pid)
    callers = set(job_processes.above(me)) if me is not None else set()

    def looked(queue: Queue) -> Queue:
        nonlocal found
        now = time.monotonic()
        known = next((each for each in queue.turns if each.process == mine.process), mine)
        if not any(each.process.pid in callers for each in queue.turns if each.began):
            found = ahead_of(known, queue, at_once, os.cpu_count() or 1, now)
        return _begun(queue, mine, now) if found == 0 else _entered(queue, known)

    _changed(looked)
    return found


def ahead_of(mine: Turn, queue: Queue, at_once: int, processors: int, now: float) -> int:
    """How many others come before this one may begin."""
    others = [each for each in queue.turns if each.process != mine.process]
    running = [each for each in others if each.began]
    if now - mine.arrived >= _LONG_SECONDS:
        at_once = max(at_once, processors // _PROCESSORS_EACH)

    def spent(uid: int) -> float:
        past = sum(each.seconds for each in queue.past if each.uid == uid)
        return past + sum(now - each.began for each in running if each.uid == uid)

    def order(each: Turn) -> tuple[bool, float, float]:
        return not each.ends, spent(each.uid), each.arrived

    def is_kept_by(run: Turn) -> bool:
        return run.uid == mine.uid or now - run.began < _LONG_SECONDS

    def waits_for_its_own(each: Turn) -> bool:
        """Whether it waits only for its own owner's, and so keeps nobody else waiting."""
        own = [run for run in running if run.uid == each.uid]
        return len(own) >= at_once and not all(map(is_kept_by, own))

    first = [
        each
        for each in others
        if not each.began and order(each) < order(mine) and not waits_for_its_own(each)
    ]
    return max(sum(map(is_kept_by, running)) + len(first) - at_once + 1, 0)


def _entered(queue: Queue, mine: Turn) -> Queue:
    return queue._replace(turns=(*queue.without(mine.process).turns, mine))


def _begun(queue: Queue, mine: Turn, now: float) -> Queue:
    return _entered(queue, mine._replace(began=now))


def _left(queue: Queue, process: ProcessId, now: float) -> Queue:
    over = [each for each in queue.turns if each.process == process and each.began]
    past = (*queue.past, *(Past(each.uid, now, now - each.began) for each in over))
    kept = tuple(each for each in past if now - each.ended < _REMEMBERED_SECONDS)
    return queue.without(process)._replace(past=kept)


def _changed(change: Callable[[Queue], Queue]) -> None:
    """Change the queue under its lock; what cannot be read or written is told, and is no queue."""
    try:
        with _opened() as place, _locked(place):
            before = _read(place)
            queue = before._replace(turns=tuple(filter(_lives, before.turns)))
            now = change(queue)
            if now != before:
                place.write_whole(_QUEUE, typed_json.dump(now), through_crashes=False)
    except OSError as problem:
        log.warning(f"checkpoints of this node do not wait for each other: {problem}")


@contextmanager
def _opened() -> Iterator[Directory]:
    """The directory, which only root can enter; inside, we act as root."""
    with ExitStack() as held:
        held.enter_context(privileges.acting_as_root())
        place = held.enter_context(Directory.open(PLACE.resolve()))
        made = held.enter_context(place.make(_DIRECTORY))
        status = os.fstat(made.fd)
        if status.st_uid != 0 or status.st_mode & 0o077:
            raise PermissionError(f"{made.path} is not root's alone")
        yield made


@contextmanager
def _locked(place: Directory) -> Iterator[None]:
    """Inside, nobody else changes the queue; it is held for a moment only, and never for long."""
    fd, until = place.open_file(_LOCK, os.O_RDWR | os.O_CREAT), time.monotonic() + _LOCK_SECONDS
    try:
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            if time.monotonic() > until:
                raise TimeoutError(f"{place.path}/{_LOCK} is held by another program")
            time.sleep(0.005)
        yield
    finally:
        os.close(fd)


def _read(place: Directory) -> Queue:
    try:
        return typed_json.from_json(Queue, typed_json.load(place.read(_QUEUE)))
    except (FileNotFoundError, typed_json.Malformed):  # of another version, after an update
        return Queue()


def _lives(each: Turn) -> bool:
    return proc.alive(each.process) is not None
