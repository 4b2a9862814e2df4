# SPDX-License-Identifier: MIT
"""Signal exactly the process that was meant: through a pidfd, compared once it is open."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection, Iterable, Mapping

from torqueckpt.identity import ProcessId
from torqueckpt.process import proc, tree

_STILL = ("T", "t", "Z", "X")
# System calls that signal, and which of their arguments is the signal's number
_SIGNALLING = {
    "x86_64": {"62": 2, "200": 2, "234": 3},  # kill, tkill, tgkill
    "aarch64": {"129": 2, "130": 2, "131": 3},
}
_STOPS = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
_STOPPING_SECONDS = 5  # one that waits for a dead file server does not stop before that answers


def send(process: ProcessId, number: int) -> bool:
    """Send a signal.

    False when the process has ended, is another one by now, or not ours to signal.
    """
    try:
        fd = os.pidfd_open(process.pid)
    except (ProcessLookupError, OSError):
        return False
    try:
        # Checked after opening: from here on the descriptor cannot come to mean another process.
        if proc.alive(process) is None or not _within_reach(process.pid):
            return False
        signal.pidfd_send_signal(fd, number)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        os.close(fd)
    return True


def _within_reach(pid: int) -> bool:
    """Whether we may signal a process: root that acts as an owner keeps to the owner's.

    The kernel would let it signal root's own as well: it looks at the sender's real uid too.
    """
    credentials = proc.credentials(pid)
    return credentials is not None and os.geteuid() in (0, credentials.uids[0])


def send_all(processes: Iterable[ProcessId], number: int) -> None:
    for each in processes:
        send(each, number)


def continue_tree(root: proc.Stat, but: Collection[ProcessId] = ()) -> None:
    """Let a stopped tree run on, but for those that were stopped before."""
    found = (each.id for each in tree.below(root))
    send_all((each for each in found if each not in but), signal.SIGCONT)


def stopped_themselves(members: Iterable[proc.Stat]) -> tuple[int, ...]:
    """The pids of those that are stopped since they have sent themselves a signal that does it."""
    known = _SIGNALLING.get(os.uname().machine, {})

    def asked(call: list[str]) -> bool:
        at = known.get(call[0], 0) if len(call) > 3 else 0
        return at > 0 and int(call[at], 16) in _STOPS

    stopped = (each.pid for each in members if each.state == "T")
    return tuple(pid for pid in stopped if any(map(asked, proc.system_calls(pid))))


def suspended(
    root: int, sessions: Mapping[int, int], stopped: Collection[int], themselves: Collection[int]
) -> tuple[int, ...]:
    """Those of a tree that a batch system, or whoever else, has stopped from outside for a while.

    sessions: pid → session.  It is so when all of the root's session is stopped: nobody in there
    could continue it.  In another session it is so when all of that is stopped as well.
    """
    of: dict[int, set[int]] = {}
    for pid, session in sessions.items():
        of.setdefault(session, set()).add(pid)
    whole = {session for session, pids in of.items() if pids <= set(stopped)}
    if sessions.get(root) not in whole:
        return ()
    return tuple(pid for pid in stopped if sessions[pid] in whole and pid not in themselves)


def continue_these(root: ProcessId, pids: Collection[int]) -> None:
    """Continue those of a restored tree that were stopped when it was dumped."""
    top = proc.alive(root) if pids else None
    members = tree.below(top) if top is not None else []
    send_all((each.id for each in members if each.pid in pids), signal.SIGCONT)


def end_job(root: proc.Stat, sessions: set[int]) -> None:
    """End a job whose tree is stopped and safe in an image, without letting any of it run on.

    sessions are those that belong to the job alone.  What else is in them is stopped first: a
    leader that runs the job script itself would go on with its next line.  The tree goes before the
    leader: when a leader ends, the kernel sends HUP and CONT to stopped process groups, and a trap
    on HUP would run.
    """
    stopped = [each.id for each in tree.below(root)]  # as the image has it: it is stopped since
    tree_pids = {each.pid for each in stopped}

    def look() -> list[proc.Stat]:
        members = (each for sid in sessions for each in tree.session(sid))
        return [each for each in members if each.pid not in tree_pids]

    others = _stop(look)
    send_all(stopped, signal.SIGKILL)
    send_all(others, signal.SIGKILL)


def end_child(pid: int) -> None:
    """Kill and reap `pid` if it is our own child: a zombie would go on holding its pid."""
    found = proc.stat(pid)
    if found is not None and found.ppid == os.getpid():
        kill_tree(found.id)
        os.waitpid(pid, 0)


def stop_tree(root: ProcessId) -> list[ProcessId]:
    """STOP `root` and all below it, also what it forks meanwhile; gives all these processes."""

    def look() -> list[proc.Stat]:
        top = proc.alive(root)
        return tree.below(top) if top is not None else []

    return _stop(look)


def kill_tree(root: ProcessId) -> None:
    """Kill `root` and all below it, also what it forks meanwhile."""
    send_all(stop_tree(root), signal.SIGKILL)


def _stop(look: Callable[[], list[proc.Stat]]) -> list[ProcessId]:
    """STOP all that `look` finds, until nothing found still moves; gives all these processes.

    A process in the middle of a fork finishes it after STOP was sent, and its child runs.
    """
    until = time.monotonic() + _STOPPING_SECONDS
    while True:
        found = look()
        moving = [each.id for each in found if each.state not in _STILL]
        sent = [send(each, signal.SIGSTOP) for each in moving]
        if not any(sent) or time.monotonic() > until:
            return [each.id for each in found]
        time.sleep(0.001)
