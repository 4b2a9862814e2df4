# SPDX-License-Identifier: MIT
"""Fork a worker, a process that becomes the owner for good, and have it do one piece of work.

Root's programs have files that a user can write parsed only there: a parser that is tricked has no
more rights than the user.  It also lets the parent go on meanwhile.
"""

from __future__ import annotations

import os
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


class WorkerFailed(Exception):
    """The worker failed; the text is its error."""


class Worker(Generic[T]):
    """A forked process that runs become() and work(); result() waits for the record of the latter.

    It has a time limit.
    """

    def __init__(
        self, become: Callable[[], None], work: Callable[[], T], timeout_seconds: float
    ) -> None:
        self._until = time.monotonic() + timeout_seconds
        self._read_end, write_end = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._read_end)
            _report(become, work, write_end)
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

    def is_over(self) -> bool:
        """Whether the worker has reported or ended, so that result() need not wait."""
        return bool(select.select([self._read_end], [], [], 0)[0])

    def stop(self) -> None:
        """Kill the worker; its result is not wanted any more."""
        os.close(self._read_end)
        self._end()

    def _end(self) -> None:
        with suppress(PermissionError):  # not the owner's yet: it failed before it became him
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)

    def _read(self) -> bytes:
        """Read all that the worker reports, until it ends or its time is up."""
        blocks = list[bytes]()
        with os.fdopen(self._read_end, "rb", buffering=0) as pipe:
            while select.select([pipe], [], [], max(self._until - time.monotonic(), 0))[0]:
                block = pipe.read(1 << 16)
                if not block:
                    return b"".join(blocks)
                blocks.append(block)
        return b"it took too long"


class OwnerWorker(Worker[T]):
    """A worker that has become the owner for good, who can stop it, or kill it."""

    def __init__(self, owner: Owner, work: Callable[[], T], timeout_seconds: float = 300) -> None:
        def become() -> None:
            guard.not_the_maker()
            privileges.drop(owner)

        super().__init__(become, work, timeout_seconds)


def _report(become: Callable[[], None], work: Callable[[], object], write_end: int) -> None:
    try:
        become()
        text = typed_json.dump(work()).decode()
    except BaseException as failure:  # also an interrupt: it must not unwind the parent's stack
        text = f"{type(failure).__name__}: {failure}"
    try:
        with os.fdopen(write_end, "w", encoding="utf-8", errors="backslashreplace") as pipe:
            pipe.write(text)
    finally:
        os._exit(0)
