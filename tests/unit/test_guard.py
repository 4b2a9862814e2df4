# SPDX-License-Identifier: MIT
"""The guard ends the tree of a supervisor that was killed, and touches nothing else."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit import real
from torqueckpt.identity import Owner
from torqueckpt.process import guard, privileges, proc, signals, tree
from torqueckpt.process.guard import Guard
from torqueckpt.process.worker import OwnerWorker

_LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
_TREE = ["/bin/bash", "-c", "trap '' TERM HUP; (sleep 61 & sleep 62 & wait) & wait"]


@pytest.fixture
def note(place: Path) -> Path:
    place.chmod(0o777)
    return place


@pytest.fixture
def supervisor(user: Owner, note: Path) -> Iterator[Callable[[bool], int]]:
    """A supervisor whose guard was there before the tree, as a restore has it; True: dismissed."""
    if not _LAST_PID.exists():
        pytest.skip(f"needs {_LAST_PID}: a pid must be known before its process starts")
    pids: list[int] = []

    def start(dismissed: bool) -> int:
        pid = os.fork()
        if pid == 0:
            try:
                _supervise(user, note, dismissed)
            finally:
                os._exit(1)
        pids.append(pid)
        real.until((note / "ready").exists, "a tree and its guard")
        real.until(lambda: len(_tree(note)) == 4, "the whole tree")
        return pid

    yield start
    for pid in pids:
        real.kill(pid)
        os.waitpid(pid, 0)
    for each in _tree(note):
        real.kill(each.pid)


def _supervise(user: Owner, note: Path, dismissed: bool) -> None:
    while True:
        wanted = int(_LAST_PID.read_text()) + 40
        watching = Guard(user, guard.kill_restored(wanted))
        _LAST_PID.write_text(str(wanted - 1))
        root = os.fork()
        if root == 0:
            if os.getpid() != wanted:
                os._exit(0)
            os.setsid()
            privileges.drop(user)
            os.execv(_TREE[0], _TREE)
        if root == wanted:
            break
        watching.dismiss()
    (note / "root").write_text(str(root))
    (note / "guard").write_text(str(watching._pid))
    if dismissed:
        watching.dismiss()
    (note / "ready").touch()
    signal.pause()


def _pid(note: Path, name: str) -> int:
    return int((note / name).read_text())


def _tree(note: Path) -> list[proc.Stat]:
    return [each for each in tree.session(_pid(note, "root")) if not each.ended]


def test_the_guard_kills_the_whole_tree_when_its_supervisor_is_killed(
    supervisor: Callable[[bool], int], note: Path
) -> None:
    os.kill(supervisor(False), signal.SIGKILL)
    real.until(lambda: not _tree(note), "the end of the tree")
    real.until(lambda: real.ended(_pid(note, "guard")), "the end of the guard")


def test_the_guard_lets_a_tree_run_while_its_supervisor_lives(
    supervisor: Callable[[bool], int], note: Path
) -> None:
    supervisor(False)
    time.sleep(0.2)
    assert len(_tree(note)) == 4
    assert not real.ended(_pid(note, "guard"))


def test_the_guard_does_not_wait_for_work_that_its_maker_has_started_aside(
    user: Owner, note: Path
) -> None:
    """A dump's tree stays stopped until the guard acts, and looking at files may take minutes."""
    maker = os.fork()
    if maker == 0:
        try:
            Guard(user, lambda _: (note / "acted").touch())
            worker = OwnerWorker(user, lambda: time.sleep(60))
            (note / "aside").write_text(str(worker._pid))
            (note / "ready").touch()
            signal.pause()
        finally:
            os._exit(1)
    real.until((note / "ready").exists, "a guard, and work aside")
    real.kill(maker)
    os.waitpid(maker, 0)
    real.until((note / "acted").exists, "the guard's work")
    assert not real.ended(_pid(note, "aside"))
    real.kill(_pid(note, "aside"))


def test_a_guard_that_was_dismissed_leaves_the_tree_alone(
    supervisor: Callable[[bool], int], note: Path
) -> None:
    os.kill(supervisor(True), signal.SIGKILL)
    time.sleep(0.2)
    assert len(_tree(note)) == 4


def test_the_guard_is_the_owners_in_a_session_of_its_own(
    supervisor: Callable[[bool], int], note: Path, user: Owner
) -> None:
    supervisor(False)
    pid = _pid(note, "guard")
    found = proc.stat(pid)
    who = real.until(lambda: proc.credentials(pid), "its credentials")
    assert found is not None and found.session == pid
    assert set(who.uids) == {user.uid}


def test_a_process_that_had_the_pid_before_the_guard_came_is_left_alone(user: Owner) -> None:
    bystander = os.fork()
    if bystander == 0:
        privileges.drop(user)
        signal.pause()
        os._exit(0)
    try:
        time.sleep(0.05)  # more than a clock tick

        def work() -> int:
            watching = Guard(user, guard.kill_restored(bystander))
            os.close(watching.write_end)  # as the kernel does for a supervisor that is killed
            os.waitpid(watching._pid, 0)
            return watching._pid

        real.in_child(work)
        assert not real.ended(bystander)
    finally:
        real.kill(bystander)
        os.waitpid(bystander, 0)


def test_a_late_guard_leaves_the_tree_of_the_next_supervisor_alone(user: Owner) -> None:
    """That one's tree has the same pid; on a busy machine it may be there already."""
    since = proc.still_me().start_ticks

    def work() -> bool:  # the next supervisor
        time.sleep(0.05)  # more than a clock tick
        root = os.fork()
        if root == 0:
            privileges.drop(user)
            signal.pause()
            os._exit(0)
        younger = proc.still_me().start_ticks > since
        guard.kill_restored(root)(since)
        alive = not real.ended(root)
        real.kill(root)
        os.waitpid(root, 0)
        return younger and alive

    time.sleep(0.05)
    assert real.in_child(work)


def test_a_guard_that_its_owner_has_killed_can_still_be_dismissed(user: Owner) -> None:
    def work() -> str:
        watching = Guard(user, guard.kill_restored(1 << 22))
        os.kill(watching._pid, signal.SIGKILL)
        real.until(lambda: real.ended(watching._pid), "its end")
        watching.dismiss()
        return "dismissed"

    assert real.in_child(work) == "dismissed"


def test_a_tree_that_was_left_stopped_runs_on_when_its_dumper_is_killed(user: Owner) -> None:
    """A dump that is to end the job leaves the tree stopped until its image is safe."""
    job = real.start(privileges.as_owner_argv(user, (), ["/bin/sh", "-c", "sleep 60 & wait"]))
    try:
        real.execed(job.pid, "/bin/sh")
        real.children(job.pid, 1)
        root = proc.stat(job.pid)
        assert root is not None
        signals.send_all([each.id for each in tree.below(root)], signal.SIGSTOP)
        pids = [each.pid for each in tree.below(root)]
        real.until(lambda: {real.state(pid) for pid in pids} == {"T"}, "a stopped tree")
        dumper = os.fork()
        if dumper == 0:
            Guard(user, guard.run_on(root))
            signal.pause()
            os._exit(1)
        real.until(lambda: proc.children(dumper), "its guard")
        os.kill(dumper, signal.SIGKILL)
        os.waitpid(dumper, 0)
        real.until(lambda: {real.state(pid) for pid in pids} == {"S"}, "a running tree")
    finally:
        real.end(job)
