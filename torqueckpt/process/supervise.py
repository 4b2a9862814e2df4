# SPDX-License-Identifier: MIT
"""Stay as the parent of a restored tree, pass signals on to it, and end with its exit status."""

from __future__ import annotations

import os
import signal

from torqueckpt.identity import ProcessId
from torqueckpt.process import proc, signals

# Daemons send any of these to all processes of a job; none may end the one who stays as the job.
PASSED_ON = {
    *(signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGCONT),
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF),
    *(signal.SIGXCPU, signal.SIGPWR),
}
_WATCHED = {signal.SIGCHLD, *PASSED_ON}
_OF_A_TERMINAL = {signal.SIGINT, signal.SIGQUIT, signal.SIGHUP}
_BY_THE_KERNEL = 0x80  # si_code SI_KERNEL, sigaction(2)


def prepare() -> None:
    """Hold signals back until wait_for() passes them on, so that none ends the supervisor.

    Called before the tree runs; a restored tree has its own mask again.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)


def give_up() -> None:
    """Let signals through again: no tree was restored."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)


def wait_for(root: ProcessId, program: ProcessId | None = None) -> int:
    """Wait until the job ends, pass signals on to its root, and give its exit status.

    Our child is the root, or the restore program that stays as the job's parent.

    A signal that a root daemon sends is not passed on: MOM signals every process of the session,
    the tree's among them, and a job must not see it twice.  One of the terminal's keys is, unless
    the tree is in our process group, which it goes to.  Ended by signal N gives 128 + N, as the
    job's shell reports it.
    """
    prepare()
    while True:
        ended, status = os.waitpid((program or root).pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        got = signal.sigwaitinfo(_WATCHED)
        by_a_user = got.si_signo != signal.SIGCHLD and got.si_uid != 0
        if by_a_user or _pressed_where_the_tree_is_not(got, root):
            signals.send(root, got.si_signo)


def _pressed_where_the_tree_is_not(got: signal.struct_siginfo, root: ProcessId) -> bool:
    if got.si_signo not in _OF_A_TERMINAL or got.si_code != _BY_THE_KERNEL:
        return False
    now = proc.stat(root.pid)
    return now is not None and now.pgrp != os.getpgrp()
