# SPDX-License-Identifier: MIT
"""Fork a guard that acts when its parent is killed: it kills the job's tree, or lets it run on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection

from torqueckpt import log
from torqueckpt.identity import Owner, ProcessId
from torqueckpt.process import privileges, proc, signals

_pipes: set[int] = set()  # of the guards that this process has made: the ends that only it keeps


def not_the_maker() -> None:
    """In another child of a guard's parent: close the pipe, so that only the parent keeps it."""
    for write_end in _pipes:
        os.close(write_end)
    _pipes.clear()


class Guard:
    """A forked process that acts when its parent ends: only the parent can write to its pipe.

    Nobody ever writes: an end of file means that the parent has ended; then `task` is called with
    the guard's own start ticks.  It has a session of its own and has become the owner for good, so
    it reaches nothing but his.  A program that inherits write_end is waited for too.
    """

    def __init__(self, owner: Owner, task: Callable[[int], None]) -> None:
        read_end, self.write_end = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self.write_end)
            _watch(owner, task, read_end)
        _pipes.add(self.write_end)
        os.close(read_end)

    def dismiss(self) -> None:
        """Kill the guard: it is not needed any more.

        Asking would not do, the owner may have stopped it.
        """
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        self.leave()

    def leave(self) -> None:
        """Have the guard act once programs that have inherited write_end have ended too."""
        _pipes.discard(self.write_end)
        os.close(self.write_end)


def kill_restored(root_pid: int) -> Callable[[int], None]:
    """The task of a supervisor's guard: kill the restored tree of `root_pid`.

    Only a tree that is younger than the guard: before, the pid may have been somebody else's.  And
    none of a supervisor that is younger too: on a busy machine the next restart, whose tree has the
    same pid, may have begun before this guard gets to run.
    """

    def task(since_ticks: int) -> None:
        root = proc.stat(root_pid)
        if root is None or root.start_ticks < since_ticks:
            return
        parent = proc.stat(root.ppid)
        if parent is None or parent.start_ticks <= since_ticks:
            signals.kill_tree(root.id)

    return task


def kill(root: ProcessId) -> Callable[[int], None]:
    """The task of a supervisor's guard where the tree has another pid than in its image."""
    return lambda _: signals.kill_tree(root)


def run_on(root: proc.Stat, but: Collection[ProcessId] = ()) -> Callable[[int], None]:
    """The task of a guard while a tree is stopped and about to be ended: let the tree run on.

    but: those that were stopped before stay so.
    """
    return lambda _: signals.continue_tree(root, but)


def _watch(owner: Owner, task: Callable[[int], None], read_end: int) -> None:
    """Wait for the parent's end, in the forked process; never returns."""
    status = 1
    try:
        os.setsid()
        privileges.drop(owner)
        os.chdir("/")
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        since = proc.still_me().start_ticks
        os.read(read_end, 1)
        task(since)
        status = 0
    except Exception as failure:
        log.traceback_of(failure)
    finally:
        os._exit(status)
