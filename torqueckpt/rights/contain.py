# SPDX-License-Identifier: MIT
"""Run a checkpointer as the job's owner, and end what it has left once it has ended.

What it reads, the job's memory or an image, is the owner's, and it was not written for hostile
ones: it counts as a program of his own that has got its capabilities.  A dump has no way to new
privileges and a list of system calls refused; a restore cannot be held so, the job would keep both.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from torqueckpt import log, run
from torqueckpt.errors import ProgramMissing
from torqueckpt.identity import Owner
from torqueckpt.process import privileges, proc, signals, system_calls, tree
from torqueckpt.process.worker import Worker, WorkerFailed
from torqueckpt.rights import begin, seccomp
from torqueckpt.run import Finished

# criu jumps to addresses that a file in this directory names: it gets none.
_ENVIRONMENT = {"XDG_RUNTIME_DIR": "/nonexistent"}

_ENDING_SECONDS = 30  # for what was left: of processes that go on forking one is missed at times
_LOOK_SECONDS = 0.0002
_EMPTY_LOOKS = 3  # one can miss a process whose parent ends meanwhile
_NOT_ENDED = "what it left behind could not be ended"


def run_alone(
    argv: Sequence[str],
    timeout_seconds: float,
    environment: Mapping[str, str] | None = None,
    keep_fds: Sequence[int] = (),
    held: bool = True,
) -> Finished:
    """Run a program, by an argv of as_owner_argv(), of which nothing stays when it has ended.

    Nor does it when we are killed: a process of root's waits for it.  held: it gets no new
    privileges, by setuid programs for instance, and no system calls that no dump needs.
    ProgramMissing where there is none.
    """
    if not os.access(argv[0], os.X_OK):  # the process that waits for it could not raise that
        raise ProgramMissing(program=argv[0], problem="no program that can be executed")
    if held and not seccomp.available():
        log.warning("no libseccomp here: the dump runs without a list of refused system calls")

    def kept() -> Finished:
        os.setsid()
        with privileges.acting_as_root():
            system_calls.prctl(system_calls.SET_CHILD_SUBREAPER, 1)
            finished = run.run(
                argv,
                timeout_seconds=timeout_seconds,
                environment={**_ENVIRONMENT, **(environment or {})},
                keep_fds=keep_fds,
                in_child=_hold if held else begin.put_back,
                alone=True,
                end_what_it_left=lambda _: _end_children(but={proc.children(os.getpid())[0]}),
            )
            return finished if _end_children() else _failed(argv, _NOT_ENDED)

    keeper = Worker(lambda: None, kept, timeout_seconds + 2 * _ENDING_SECONDS)
    try:
        return keeper.result(Finished)
    except WorkerFailed as failed:
        return _failed(argv, str(failed))


def run_as_parent(
    argv: Sequence[str],
    owner: Owner,
    capabilities: Sequence[str],
    timeout_seconds: float,
    environment: Mapping[str, str],
    keep_fds: Sequence[int],
    end_what_it_left: Callable[[], None],
    in_child: Callable[[], None] | None = None,
) -> Finished:
    """Run a restore whose tree becomes our child; what else it left with capabilities is ended.

    end_what_it_left: called when it has failed, and others still hold its output.
    """
    others, mask = set(proc.children(os.getpid())), privileges.mask(capabilities)

    def end(status: int) -> None:
        _end_privileged(owner.uid, mask, others)
        if status:
            end_what_it_left()

    system_calls.prctl(system_calls.SET_CHILD_SUBREAPER, 1)
    try:
        finished = run.run(
            argv,
            timeout_seconds=timeout_seconds,
            environment={**_ENVIRONMENT, **environment},
            keep_fds=keep_fds,
            as_root=True,
            in_child=in_child,
            end_what_it_left=end,
        )
        ended = _end_privileged(owner.uid, mask, others)
        if not finished.ok:  # parts of a tree, whose numbers the next try needs
            ended = _end_children(but=others) and ended
    finally:
        system_calls.prctl(system_calls.SET_CHILD_SUBREAPER, 0)
    return finished if ended else _failed(argv, _NOT_ENDED)


def _hold() -> None:
    """In the child, while it is root: the filter bars what setpriv has no need of either."""
    begin.put_back()
    system_calls.join_new_session_keyring()
    if seccomp.available():
        try:
            seccomp.refuse_what_no_dump_needs()
        except OSError as refused:  # a library or kernel of another mind: no image is lost for it
            log.warning(f"the dump runs without a list of refused system calls: {refused}")
    system_calls.prctl(system_calls.SET_NO_NEW_PRIVS, 1)


def _end_children(but: Collection[int] = ()) -> bool:
    """Kill and reap our children, and theirs, which become ours then, until there is none.

    Of one that goes on forking and ending, one child is met in time.  but: children that somebody
    else waits for.
    """
    until = time.monotonic() + _ENDING_SECONDS
    while time.monotonic() < until:
        left = [pid for pid in proc.children(os.getpid()) if pid not in but]
        if not left:
            return True
        for pid in left:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, os.WNOHANG)
        time.sleep(_LOOK_SECONDS)
    return False


def _end_privileged(uid: int, mask: int, others: set[int]) -> bool:
    """Kill the user's processes below this one that hold one of these capabilities."""
    me, until = proc.still(proc.still_me()), time.monotonic() + _ENDING_SECONDS
    empty = 0
    while time.monotonic() < until:
        below = [each for each in tree.below(me)[1:] if each.pid not in others]
        left = [each.id for each in below if not each.ended and _holds(each.pid, uid, mask)]
        signals.send_all(left, signal.SIGKILL)
        empty = 0 if left else empty + 1
        if empty == _EMPTY_LOOKS:
            return True
        if left:
            time.sleep(_LOOK_SECONDS)
    return False


def _holds(pid: int, uid: int, mask: int) -> bool:
    found = proc.credentials(pid)
    return found is not None and found.uids[0] == uid and bool(found.capabilities & mask)


def _failed(argv: Sequence[str], why: str) -> Finished:
    return Finished(argv[0], 1, "", why, 0)
