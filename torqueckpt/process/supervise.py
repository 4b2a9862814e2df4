# SPDX-License-Identifier: MIT
"""Staying as the job: a restored tree is our child, and its exit status becomes ours."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from torqueckpt import log
from torqueckpt.identity import Owner, ProcessId
from torqueckpt.process import become, proc, signals

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT)


class Guard:
    """A process in a session of its own that kills the tree should the supervisor be killed.

    It waits on a pipe that only the supervisor can write: an end of file without a word before it
    means that the supervisor is gone.  It acts as the owner, so it reaches nothing but his.
    """

    def __init__(self, who: Owner, root_pid: int) -> None:
        read_end, self._write_end = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _exit_after(lambda: _guard(who, root_pid, read_end, self._write_end))
        os.close(read_end)

    def dismiss(self) -> None:
        """The tree has ended, or was never started: nothing to kill."""
        os.write(self._write_end, b".")
        os.close(self._write_end)
        os.waitpid(self.pid, 0)


def wait_for(root: ProcessId) -> int:
    """Wait until our child `root` ends, pass signals on, and give the job's exit status.

    A signal that a root daemon sends is not passed on: MOM signals every process of the session,
    the tree's among them, and a job must not see it twice.  Ended by signal N gives 128 + N, as the
    job's shell reports it.
    """
    watched = {signal.SIGCHLD, *PASSED_ON}
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    while True:
        ended, status = os.waitpid(root.pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        got = signal.sigwaitinfo(watched)
        if got.si_signo != signal.SIGCHLD and got.si_uid != 0:
            signals.send(root, got.si_signo)


def _guard(who: Owner, root_pid: int, read_end: int, write_end: int) -> None:
    os.setsid()
    become.drop(who)
    os.chdir("/")
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(write_end)
    started = proc.stat(os.getpid())
    if os.read(read_end, 1):
        return
    root = proc.stat(root_pid)
    # Only a tree that was started after this guard: the pid may have been somebody else's before.
    if started is not None and root is not None and root.start_ticks >= started.start_ticks:
        signals.kill_tree(root.id)


def _exit_after(work: Callable[[], None]) -> None:
    """Run the work of a forked child and leave without running the parent's cleanup."""
    status = 1
    try:
        work()
        status = 0
    except Exception as failure:
        log.traceback_of(failure)
    finally:
        os._exit(status)
