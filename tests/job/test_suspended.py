# SPDX-License-Identifier: MIT
"""Jobs that are checkpointed while they stand still: what a batch system, or somebody else, has
stopped for a while goes on in the next job, and what the job itself has stopped stays so."""

from __future__ import annotations

import signal
import subprocess

from tests.support import (
    Running,
    Site,
    User,
    counting,
    kill,
    lines,
    python_counting,
    session,
    stat_fields,
    wait_until,
)


def _states(pids: list[int]) -> set[str]:
    return {stat_fields(pid)[0] for pid in pids}


def _stopped(running: Running) -> list[int]:
    """All of the job's session, as qsig -s suspend does."""
    leader = running.leader()
    wait_until(lambda: _all_stopped(session(leader)))
    return session(leader)


def _all_stopped(pids: list[int]) -> bool:
    for pid in pids:
        if stat_fields(pid)[0] != "T":
            kill(pid, signal.SIGSTOP)
    return _states(pids) == {"T"}


def _image(site: Site, running: Running, **call: int) -> None:
    done = subprocess.run(running.hook_argv(**call), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_job_that_was_suspended_goes_on_after_a_crash_and_after_a_hold(
    site: Site, user: User
) -> None:
    running = site.start(user, user.script(counting(70), user.directory()), "-c", "enabled")
    running.wait_for_line(5)
    pids = _stopped(running)
    for pid in pids:
        kill(pid, signal.SIGSTOP)  # twice, as two who suspend a job do: it waits to be taken
    _image(site, running)
    _image(site, running)
    assert _states(pids) == {"T"}
    running.crash()
    resumed = site.resume(user, running.job, running.directory)
    resumed.wait_for_line(20)
    _stopped(resumed)
    assert site.call(user, "hold", resumed.job).returncode == 0
    assert site.call(user, "release", resumed.job).returncode == 0
    assert resumed.wait() == 7
    assert resumed.out() == lines(70)
    assert resumed.err() == ""


def test_a_hold_that_fails_leaves_a_suspended_job_suspended(site: Site, user: User) -> None:
    failing = site.root / "failing-criu"  # once it has left the tree stopped
    real = site.root / "lib/torqueckpt/criu/criu"
    failing.write_text(f'#!/bin/sh\n{real} "$@" || exit\n[ "$1" != dump ]\n')
    failing.chmod(0o755)
    running = site.start(user, user.script(counting(70), user.directory()), "-c", "enabled")
    running.wait_for_line(5)
    site.configure(criu_path=str(failing))
    pids = _stopped(running)
    done = subprocess.run(running.hook_argv(signal=15), capture_output=True, text=True)
    assert done.returncode != 0
    assert session(running.leader()) == pids
    assert _states(pids) == {"T"}
    for pid in pids:
        kill(pid, signal.SIGCONT)
    done = subprocess.run(running.hook_argv(signal=15), capture_output=True, text=True)
    assert done.returncode != 0  # and one that ran runs on
    assert running.wait() == 7
    assert running.out() == lines(70)


def test_a_process_that_the_job_has_stopped_stays_so_and_is_named(site: Site, user: User) -> None:
    """Its parent continues it, as the job goes on."""
    program = f"""#!/usr/bin/python3
import os, signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c",
    "import os, signal; os.kill(os.getpid(), signal.SIGSTOP); print('continued', flush=True)"])
os.waitpid(child.pid, os.WUNTRACED)
print("stopped", child.pid, flush=True)
{python_counting(40)}
os.kill(child.pid, signal.SIGCONT)
child.wait()
"""
    running = site.start(user, user.script(program, user.directory()), "-c", "enabled")
    running.wait_for_line(5)
    pid = int(running.spooled().split()[1])
    pids = _stopped(running)  # a batch system comes on top
    assert pid in pids
    _image(site, running)
    running.crash()
    resumed = site.resume(user, running.job, running.directory)
    resumed.wait_for_line(20)
    assert stat_fields(pid)[0] == "T"
    assert resumed.wait() == 0
    assert resumed.out() == f"stopped {pid}\n{lines(40)}continued\n"
    assert f"stopped at the checkpoint, and again now: {pid} (python3)" in resumed.err()


def test_a_process_that_somebody_has_stopped_beside_others_that_run_is_named(
    site: Site, user: User
) -> None:
    program = f"""#!/usr/bin/python3
import os, subprocess, sys, time
child = subprocess.Popen(["sleep", "3"])
print("started", child.pid, flush=True)
{python_counting(40)}
sys.exit(child.wait())
"""
    running = site.start(user, user.script(program, user.directory()), "-c", "enabled")
    running.wait_for_line(1)
    pid = int(running.spooled().split()[1])
    kill(pid, signal.SIGSTOP)
    _image(site, running)
    running.crash()
    resumed = site.resume(user, running.job, running.directory)
    resumed.wait_for_line(20)
    assert stat_fields(pid)[0] == "T"
    resumed.may_end.touch()
    kill(pid, signal.SIGCONT)
    assert resumed.wait() == 0
    assert f"stopped at the checkpoint, and again now: {pid} (sleep)" in resumed.err()
