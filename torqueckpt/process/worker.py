# SPDX-License-Identifier: MIT
"""Fork a worker that does one piece of work, within limits, and reports a record.

Root's programs have files that a user can write parsed only in an OwnerWorker, which has become the
user for good (a parser that is tricked has no more rights than he), or acting as him.  It also lets
the parent go on meanwhile, whatever becomes of the worker.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

from torqueckpt import typed_json
from torqueckpt.identity import Owner
from torqueckpt.process import guard, privileges

T = TypeVar("T")
_LONGEST = 512 * 1024 * 1024  # bytes of a report: that of a million open files has half of it
_KILLED_SECONDS = 5  # a process that waits for a file server, or a FUSE, may not die at once
_left: set[int] = set()  # killed, and not dead yet when they were left


class WorkerFailed(Exception):
    """The worker failed; the text is its error."""


class Worker(Generic[T]):
    """A forked process that runs become() and work(); result() waits for the record of the latter.

    It has a time limit, and with memory_mib one of memory, beyond what its parent has.
    """

    def __init__(
        self,
        become: Callable[[], None],
        work: Callable[[], T],
        timeout_seconds: float,
        memory_mib: int | None = None,
    ) -> None:
        _reap()
        self._until = time.monotonic() + timeout_seconds
        self._read_end, write_end = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._read_end)
            _left.clear()  # they are the parent's
            _report(become, work, write_end, memory_mib)
        os.close(write_end)

    def result(self, kind: type[T]) -> T:
        text = self._read()
        self._end()
        if not text.startswith(b"{"):
            raise WorkerFailed(text.decode("utf-8", "replace") or "it was killed")
        try:
            return typed_json.from_json(kind, typed_json.load(text))
        except typed_json.Malformed as torn:
            raise WorkerFailed("it was killed") from torn

    def give(self, seconds: float) -> None:
        """Give the worker so many seconds from now on."""
        self._until = time.monotonic() + seconds

    @property
    def is_late(self) -> bool:
        """Whether the worker has used its time."""
        return time.monotonic() > self._until

    def is_over(self, seconds: float = 0) -> bool:
        """Whether the worker has reported, ended, or used its time: result() need not wait.

        It is waited for so many seconds.
        """
        return bool(select.select([self._read_end], [], [], seconds)[0]) or self.is_late

    def stop(self) -> None:
        """Kill the worker; its result is not wanted any more."""
        os.close(self._read_end)
        self._end()

    def _end(self) -> None:
        with suppress(PermissionError):  # not the owner's yet: it failed before it became him
            os.kill(self._pid, signal.SIGKILL)
        ended = os.pidfd_open(self._pid)
        select.select([ended], [], [], _KILLED_SECONDS)
        os.close(ended)
        _left.add(self._pid)
        _reap()

    def _read(self) -> bytes:
        """Read all that the worker reports, until it ends or its time is up."""
        blocks, size = list[bytes](), 0
        with os.fdopen(self._read_end, "rb", buffering=0) as pipe:
            while select.select([pipe], [], [], max(self._until - time.monotonic(), 0))[0]:
                block = pipe.read(1 << 16)
                if not block:
                    return b"".join(blocks)
                blocks.append(block)
                size += len(block)
                if size > _LONGEST:
                    return b"it reported too much"
        return b"it took too long"


class OwnerWorker(Worker[T]):
    """A worker that has become the owner for good, who can stop it, or kill it."""

    def __init__(self, owner: Owner, work: Callable[[], T], timeout_seconds: float = 300) -> None:
        def become() -> None:
            guard.not_the_maker()
            privileges.drop(owner)

        super().__init__(become, work, timeout_seconds)


class RootWorker(Worker[T]):
    """A worker of root's own, which the owner it works for can neither signal nor stop."""

    def __init__(
        self, work: Callable[[], T], timeout_seconds: float, memory_mib: int | None = None
    ) -> None:
        super().__init__(guard.not_the_maker, work, timeout_seconds, memory_mib)


def answered(work: Callable[[], T], kind: type[T], seconds: float) -> T | None:
    """What work() gives, asked by a worker of root's own, or None after so many seconds.

    For what cannot be interrupted: a name service that hangs does so within one call of C's.
    """
    asked = RootWorker(work, seconds)
    while not asked.is_over(seconds):
        continue
    if asked.is_late:
        asked.stop()
        return None
    return asked.result(kind)


def of_owner(
    owner: str,
    work: Callable[[], T],
    kind: type[T],
    seconds: float,
    tell: Callable[[str], None],
) -> T | None:
    """What work() gives for an owner, asked by a worker of root's own; None when it fails.

    tell gets one line then.  Files that hang can be left in no other way.
    """
    try:
        found = answered(work, kind, seconds)
    except WorkerFailed as failed:
        tell(f"{owner}: left out: {failed}")
        return None
    if found is None:
        tell(f"{owner}: left out: no answer within {seconds:g} s, as where a file system hangs")
    return found


def _reap() -> None:
    """Take notice of workers that have died since they were killed."""
    for pid in list(_left):
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            _left.discard(pid)


def _report(
    become: Callable[[], None],
    work: Callable[[], object],
    write_end: int,
    memory_mib: int | None,
) -> None:
    try:
        become()
        if memory_mib is not None:
            _limit_memory(memory_mib)
        text = typed_json.dump(work()).decode()
    except BaseException as failure:  # also an interrupt: it must not unwind the parent's stack
        text = f"{type(failure).__name__}: {failure}"
    try:
        with os.fdopen(write_end, "w", encoding="utf-8", errors="backslashreplace") as pipe:
            pipe.write(text)
    finally:
        os._exit(0)


def _limit_memory(mib: int) -> None:
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    limit = now + mib * 1024 * 1024
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard < 0 else min(limit, hard), hard))
