# SPDX-License-Identifier: MIT
"""The supervisor ends with the job's own status, passes signals on, and never ends alone."""

from __future__ import annotations

import os
import pty
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support import LIMIT_SECONDS
from tests.unit import real
from torqueckpt.identity import Owner, ProcessId
from torqueckpt.process import privileges, proc, supervise, tree


def _job(*argv: str) -> ProcessId:
    """A job that is this process's child, as a restored tree's root is its supervisor's."""
    pid = os.fork()
    if pid == 0:
        os.execv(argv[0], argv)
    real.execed(pid, argv[0])
    found = proc.stat(pid)
    assert found is not None
    return found.id


def _sh(script: str) -> ProcessId:
    return _job("/bin/bash", "-c", script)


@pytest.mark.parametrize("status", [0, 7, 125, 255])
def test_the_jobs_exit_status_is_ours(status: int) -> None:
    assert real.in_child(lambda: supervise.wait_for(_sh(f"sleep 0.1; exit {status}"))) == status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV])
def test_a_job_that_a_signal_ends_gives_128_and_its_number(number: signal.Signals) -> None:
    script = f"sleep 0.1; ulimit -c 0; kill -{number.value} $$"
    assert real.in_child(lambda: supervise.wait_for(_sh(script))) == 128 + number


def test_a_job_that_ended_before_it_was_waited_for_gives_its_status() -> None:
    def work() -> int:
        root = _sh("sleep 0.1; exit 7")
        real.until(lambda: real.ended(root.pid), "its end")
        return supervise.wait_for(root)

    assert real.in_child(work) == 7


def test_a_job_that_is_stopped_and_goes_on_has_not_ended() -> None:
    def work() -> int:
        root = _sh("kill -STOP $$; exit 7")
        if os.fork() == 0:
            real.until(lambda: real.state(root.pid) == "T", "a stopped job")
            time.sleep(0.1)
            os.kill(root.pid, signal.SIGCONT)
            os._exit(0)
        return supervise.wait_for(root)

    assert real.in_child(work) == 7


@pytest.fixture
def supervisor(user: Owner, place: Path) -> Iterator[Callable[[str], int]]:
    """Start a process of the user's that supervises a script, once that has made `ready`."""
    place.chmod(0o777)
    pids: list[int] = []

    def start(script: str) -> int:
        pid = os.fork()
        if pid == 0:
            os.setsid()
            status = 99
            try:
                privileges.drop(user)
                root = _sh(script)
                signal.pthread_sigmask(signal.SIG_BLOCK, supervise.PASSED_ON)
                (place / "waiting").touch()
                status = supervise.wait_for(root)
            finally:
                os._exit(status)
        pids.append(pid)
        for name in ("ready", "waiting"):
            real.until((place / name).exists, name)
        return pid

    yield start
    for pid in pids:
        for each in tree.session(pid):
            real.kill(each.pid)
        with suppress(ChildProcessError):  # the test has waited for it
            os.waitpid(pid, 0)


_TRAPS = "trap 'exit 3' TERM; trap 'exit 4' USR1; trap 'exit 5' USR2; trap 'exit 6' INT"


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, 3), (signal.SIGUSR1, 4), (signal.SIGUSR2, 5), (signal.SIGINT, 6)],
)
def test_a_signal_that_the_user_sends_is_passed_on(
    user: Owner,
    place: Path,
    supervisor: Callable[[str], int],
    number: int,
    status: int,
) -> None:
    script = f"{_TRAPS}; : >{place}/ready; while :; do sleep 0.02; done"
    pid = supervisor(script)

    def send() -> None:
        privileges.drop(user)
        os.kill(pid, number)

    real.in_child(send)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU])
def test_a_signal_that_a_root_daemon_sends_is_not_passed_on(
    place: Path, supervisor: Callable[[str], int], number: signal.Signals
) -> None:
    """MOM signals every process of the session itself: the job would see it twice."""
    script = (
        f"trap 'echo got >>{place}/got' TERM HUP XCPU; : >{place}/ready\n"
        f"until [ -e {place}/end ]; do sleep 0.02; done; exit 7"
    )
    pid = supervisor(script)
    os.kill(pid, number)
    time.sleep(0.15)
    (place / "end").touch()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert not (place / "got").exists()


@pytest.mark.parametrize("apart", [True, False])
def test_a_key_of_the_terminal_reaches_the_job_once(apart: bool) -> None:
    """A restored tree has the process group of its image, which the terminal does not know."""
    program = (
        "import signal, sys, time; seen = []; signal.signal(2, lambda *_: seen.append(1)); "
        f"signal.alarm({LIMIT_SECONDS}); print('ready', flush=True)\n"
        "while not seen: time.sleep(0.01)\n"
        "time.sleep(0.3); sys.exit(len(seen))"  # a second one would come at once
    )
    pid, terminal = pty.fork()
    if pid == 0:
        root = os.fork()
        if root == 0:
            if apart:
                os.setpgid(0, 0)
            os.execv(sys.executable, [sys.executable, "-c", program])
        found = proc.stat(root)
        os._exit(99 if found is None else supervise.wait_for(found.id))
    said = b""
    while b"ready" not in said:
        said += os.read(terminal, 1024)
    os.write(terminal, b"\x03")
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 1
