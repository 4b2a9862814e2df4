# SPDX-License-Identifier: MIT
"""Call the hook for due jobs while the periodic service goes on: each owner's one after the other.

A job can keep its hook busy until the hook's time limit, so nobody else's waits for it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from torqueckpt import log, paths
from torqueckpt.errors import TorqueCkptError
from torqueckpt.ifl.records import Job
from torqueckpt.run import Running
from torqueckpt.settings import Settings

_AT_ONCE = 4  # dumps share the disk; whoever takes longer than others is not waited for
_LONG_SECONDS = 60
_LOOK_SECONDS = 0.05

Tell = Callable[[str, str], None]


class HookCalls:
    """The hooks that run, and the jobs that wait for one; tell: of a job, a line."""

    def __init__(self, settings: Settings, tell: Tell) -> None:
        self._tell = tell
        self._waiting: dict[str, deque[Job]] = {}  # by user, as are those that run
        self._running: dict[str, tuple[Job, Running]] = {}
        # It waits for its turn and the lock, dumps, and writes a large image to the disk.
        waits = settings.dump_wait_seconds + settings.lock_timeout_seconds
        self._limit = waits + 4 * settings.dump_timeout_seconds

    def add(self, job: Job) -> None:
        if not self.has(job.id):
            self._waiting.setdefault(job.user, deque()).append(job)

    def has(self, job: str) -> bool:
        """Whether a job's hook runs or will."""
        waiting = (each for of_user in self._waiting.values() for each in of_user)
        running = (each for each, _ in self._running.values())
        return any(each.id == job for each in (*waiting, *running))

    def turn(self) -> list[str]:
        """Take notice of those that have ended, begin others; gives the jobs with a new image."""
        made = []
        for user, (job, running) in list(self._running.items()):
            finished = running.ended()
            if finished is None:
                continue
            del self._running[user]
            if finished.ok:
                log.info(f"{job.id}: checkpointed")
                made.append(job.id)
            else:
                why = finished.last_line() or "it took too long"
                self._tell(job.id, f"checkpoint failed: {why}")
        for user in [user for user in self._waiting if user not in self._running]:
            short = sum(each.seconds < _LONG_SECONDS for _, each in self._running.values())
            if short >= _AT_ONCE:
                break
            job = self._waiting[user].popleft()
            if not self._waiting[user]:
                del self._waiting[user]
            self._begin(user, job)
        return made

    def wait(self) -> list[str]:
        """Wait until all have ended; gives the jobs with a new image."""
        made = self.turn()
        while self._running or self._waiting:
            time.sleep(_LOOK_SECONDS)
            made += self.turn()
        return made

    def _begin(self, user: str, job: Job) -> None:
        program = paths.program("sbin", "mom-checkpoint")
        words = [str(program), str(job.session_id or "-"), job.id, job.user]
        try:
            self._running[user] = job, Running(words, self._limit)
        except TorqueCkptError as missing:
            self._tell(job.id, f"checkpoint failed: {missing}")
