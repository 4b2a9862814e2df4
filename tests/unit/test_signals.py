# SPDX-License-Identifier: MIT
"""A signal reaches exactly the process that was meant, and a job that ends runs nothing more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import LIMIT_SECONDS
from tests.unit import real
from torqueckpt.identity import Owner, ProcessId
from torqueckpt.process import privileges, proc, signals, tree

Start = Callable[..., "subprocess.Popen[bytes]"]


def _id(pid: int) -> ProcessId:
    found = proc.stat(pid)
    assert found is not None
    return found.id


def test_a_signal_reaches_a_running_process(started: Start) -> None:
    process = started("/bin/sleep", "60")
    assert signals.send(_id(process.pid), signal.SIGTERM)
    assert process.wait(LIMIT_SECONDS) == -signal.SIGTERM


def test_a_process_that_was_reaped_gets_no_signal(started: Start) -> None:
    process = started("/bin/sleep", "60")
    gone = _id(process.pid)
    process.kill()
    process.wait()
    assert not signals.send(gone, signal.SIGKILL)


def test_a_zombie_gets_no_signal(started: Start) -> None:
    process = started("/bin/sleep", "60")
    gone = _id(process.pid)
    process.send_signal(signal.SIGKILL)
    real.until(lambda: real.state(process.pid) == "Z", "a zombie")
    assert not signals.send(gone, signal.SIGKILL)


def test_another_process_that_took_the_pid_gets_no_signal(started: Start) -> None:
    process = started("/bin/sleep", "60")
    meant = _id(process.pid)._replace(start_ticks=1)
    assert not signals.send(meant, signal.SIGKILL)
    assert not signals.send(_id(process.pid)._replace(boot_id="another"), signal.SIGKILL)
    assert proc.alive(_id(process.pid)) is not None


def test_a_pid_that_no_process_can_have_gets_no_signal() -> None:
    for pid in (0, -1, 1 << 30):
        assert not signals.send(ProcessId(proc.boot_id(), pid, 1), signal.SIGKILL)


def test_a_user_cannot_signal_what_is_not_his(started: Start, user: Owner) -> None:
    process = started("/bin/sleep", "60")

    def work() -> bool:
        privileges.drop(user)
        return signals.send(_id(process.pid), signal.SIGKILL)

    assert not real.in_child(work)
    assert proc.alive(_id(process.pid)) is not None


def test_acting_as_a_user_sends_nothing_to_roots_processes(started: Start, user: Owner) -> None:
    """The kernel would: it also looks at the sender's real id."""
    process = started("/bin/sleep", "60")
    with privileges.acting_as(user):
        assert not signals.send(_id(process.pid), signal.SIGKILL)
    assert process.poll() is None


@pytest.mark.parametrize("round_", range(6))
def test_a_tree_that_goes_on_forking_is_killed_to_the_last_process(
    started: Start, round_: int
) -> None:
    code = (
        "import os, time\n"
        "ballast = bytearray(30 << 20)\n"  # makes a fork take its time
        "while True:\n"
        "    if os.fork() == 0: time.sleep(60)\n"
        "    time.sleep(0.0005)\n"
    )
    top = started(*real.python(code))
    real.until(lambda: len(proc.children(top.pid)) > 3 + round_, "a tree that forks")
    signals.kill_tree(_id(top.pid))
    top.wait(LIMIT_SECONDS)
    left = [each for each in tree.session(top.pid) if not each.ended]
    real.until(lambda: all(real.ended(each.pid) for each in left), f"the end of {len(left)}")
    assert [each for each in tree.session(top.pid) if not each.ended] == []


def test_killing_a_tree_that_has_ended_or_is_another_one_kills_nothing(started: Start) -> None:
    process = started("/bin/sleep", "60")
    other = _id(process.pid)
    signals.kill_tree(other._replace(start_ticks=other.start_ticks - 1))
    assert proc.alive(other) is not None


def _stopped_job(started: Start, script: str, child: str) -> tuple[int, proc.Stat]:
    """A session whose exec tree is stopped, as after a dump that leaves it so."""
    leader = started("/bin/bash", "-c", script)
    root = real.until(
        lambda: [e for e in real.children(leader.pid, 1) if proc.argv(e.pid)[:1] == [child]],
        "the exec process",
    )[0]
    members = [each.id for each in tree.below(root)]
    signals.send_all(members, signal.SIGSTOP)
    real.until(lambda: all(real.state(each.pid) == "T" for each in members), "a stopped tree")
    return leader.pid, root


def test_a_leader_that_would_run_on_with_its_next_line_ends_without_running_it(
    started: Start, tmp_path: Path
) -> None:
    """As on the MOMs of 2005, whose session leader runs the job script itself."""
    mark = tmp_path / "ran-on"
    script = f"trap 'echo trap >>{mark}' HUP TERM EXIT; sleep 60; echo next line >>{mark}"
    sid, root = _stopped_job(started, script, "sleep")
    signals.end_job(root, {sid})
    real.until(lambda: real.ended(root.pid), "the end of the tree")
    real.until(lambda: real.ended(sid), "the end of the leader")
    assert not mark.exists()


def test_a_stopped_tree_with_traps_ends_without_running_them(
    started: Start, tmp_path: Path
) -> None:
    mark = tmp_path / "cleaned-up"
    inner = f"trap 'rm -rf scratch; echo >{mark}' HUP TERM CONT EXIT; while :; do sleep 0.05; done"
    sid, root = _stopped_job(started, f'bash -c "{inner}"; exit', "bash")
    signals.end_job(root, {sid})
    real.until(lambda: real.ended(sid), "the end of the leader")
    time.sleep(0.1)
    assert not mark.exists()
    assert [each for each in tree.session(sid) if not each.ended] == []


def test_what_was_forked_away_in_the_jobs_session_ends_with_the_job(started: Start) -> None:
    sid, root = _stopped_job(started, "(sleep 61 &); sleep 60; exit", "sleep")
    real.until(lambda: len(tree.session(sid)) == 3, "the daemon")
    signals.end_job(root, {sid})
    real.until(lambda: not [e for e in tree.session(sid) if not e.ended], "the end of the session")


def test_a_session_that_is_not_the_jobs_is_left_alone(started: Start) -> None:
    other = started("/bin/sleep", "60")
    sid, root = _stopped_job(started, "sleep 60; exit", "sleep")
    signals.end_job(root, {sid})
    assert not real.ended(other.pid)


def test_our_own_child_is_killed_and_reaped_and_no_other_process(started: Start) -> None:
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    signals.end_child(pid)
    assert proc.stat(pid) is None
    other = real.children(started("/bin/sh", "-c", "sleep 60 & wait").pid, 1)[0]
    signals.end_child(other.pid)
    assert proc.alive(other.id) is not None


@pytest.mark.parametrize(
    ("stopped", "themselves", "continued"),
    [
        ((), (), ()),
        ((1, 2), (), ()),  # 3 runs, and may continue them
        ((1, 2, 3), (), (1, 2, 3)),
        ((1, 2, 3), (2,), (1, 3)),
        ((1, 2, 3, 8), (), (1, 2, 3)),  # 8's own session has 9, which runs
        ((1, 2, 3, 8, 9), (), (1, 2, 3, 8, 9)),
        ((8, 9), (), ()),
    ],
)
def test_what_was_stopped_from_outside_is_all_of_a_session(
    stopped: tuple[int, ...], themselves: tuple[int, ...], continued: tuple[int, ...]
) -> None:
    sessions = {1: 1, 2: 1, 3: 1, 8: 8, 9: 8}
    assert signals.suspended(1, sessions, stopped, themselves) == continued


@pytest.mark.parametrize(
    ("program", "itself"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", True),
        ("import signal; signal.raise_signal(signal.SIGSTOP)", True),
        ("import time; time.sleep(60)", False),
        ("while True: pass", False),
    ],
)
def test_a_process_that_has_stopped_itself_is_told_from_one_that_was_stopped(
    started: Start, program: str, itself: bool
) -> None:
    process = started(sys.executable, "-S", "-c", program)
    if not itself:
        real.execed(process.pid, sys.executable)
        process.send_signal(signal.SIGSTOP)
    real.until(lambda: real.state(process.pid) == "T", "a stopped process")
    found = proc.stat(process.pid)
    assert found is not None
    assert signals.stopped_themselves([found]) == ((process.pid,) if itself else ())


def test_a_tree_that_runs_on_leaves_those_stopped_that_were_before(started: Start) -> None:
    shell = started("/bin/sh", "-c", "sleep 60 & sleep 60 & wait")
    real.execed(shell.pid, "/bin/sh")
    before, other = (each.pid for each in real.children(shell.pid, 2))
    os.kill(before, signal.SIGSTOP)
    real.until(lambda: real.state(before) == "T", "a stopped process")
    root = proc.stat(shell.pid)
    assert root is not None
    held = {_id(before)}
    signals.stop_tree(root.id)
    signals.continue_tree(root, held)
    real.until(lambda: real.state(other) != "T" and real.state(shell.pid) != "T", "the others")
    assert real.state(before) == "T"
    signals.continue_these(root.id, (before,))
    real.until(lambda: real.state(before) != "T", "that one too")
