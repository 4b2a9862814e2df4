# SPDX-License-Identifier: MIT
"""kill -9 at every step of a restart, and while it stays as the job: mom-restart, the door, CRIU.

One job goes through all of it: it is held or crashes, its restart is killed, it is resumed, and in
the end each of its lines is there once, also in the file that it writes.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults import strace
from tests.faults.aftermath import hook, images_whole, nothing_left
from tests.faults.conftest import Faulty
from tests.faults.test_killed_checkpoint import sessions
from tests.faults.test_random_kills import goes_on
from tests.support import Running, Site, User, lines, wait_until

pytestmark = pytest.mark.usefixtures("traced")

WRITES = """#!/bin/sh
exec 3>data
i=0
until [ -e stop ]; do i=$((i + 1)); echo line $i; echo line $i >&3; sleep 0.1; done
exit 7
"""
_CALLS = (*strace.STEPS, "rt_sigtimedwait")
_CRIU = ("openat", "clone", "clone3", "ptrace", "write", "mmap", "wait4")


def ends_well(jobs: Faulty, running: Running) -> None:
    jobs.ends_well(running)
    written = (running.directory / "data").read_text()
    assert written == lines(written.count("\n")) == running.out()


def held(site: Site, running: Running) -> None:
    assert site.call(None, "hold", running.job).returncode == 0


def in_place(site: Site, running: Running) -> int:
    """Restarted by mom-restart; 0 when it has brought the job back, which else stays held."""
    return site.call(None, "release", running.job).returncode


def again(site: Site, user: User, jobs: Faulty, running: Running) -> Running:
    """What a killed restart has left is no hindrance; another image can be taken."""
    resumed = jobs.resume(running)
    well(site, user, resumed, resumed.job)
    return resumed


def well(site: Site, user: User, running: Running, name: str) -> None:
    assert hook(running, f"after-{name}").returncode == 0
    images_whole(site, running)
    nothing_left(site, user, sessions(site))


def test_mom_restart_killed_at_each_step(
    site: Site, user: User, jobs: Faulty, counted: Callable[..., None]
) -> None:
    program, log = site.restart_program, site.root / "steps"
    running = jobs.start(WRITES)
    held(site, running)
    strace.listened(program, "", log, _CALLS)
    in_place(site, running)
    wait_until(lambda: "rt_sigtimedwait" in log.read_text(errors="replace"))
    chosen = strace.spread(strace.listed(log.read_text(errors="replace")), 2, 80)
    strace.unwrapped(program)
    for number, step in enumerate(chosen):
        held(site, running)
        strace.wrapped(program, "", step, "signal=KILL")
        back = in_place(site, running) == 0
        strace.unwrapped(program)
        if not back:
            assert in_place(site, running) == 0, f"{step}"
            well(site, user, running, f"step-{number}")
        elif not goes_on(running):  # else it has made that call less often than before
            assert running.wait() == 137, f"{step}: {running.err()}"
            running = again(site, user, jobs, running)
    ends_well(jobs, running)
    counted("kill -9 of mom-restart at a step of a restart in place", len(chosen))


def test_the_door_killed_at_each_step(
    site: Site, user: User, jobs: Faulty, counted: Callable[..., None]
) -> None:
    program, log = site.root / "lib/torqueckpt/rootdoor", site.root / "steps"
    running = jobs.start(WRITES)
    assert hook(running, "first").returncode == 0
    running.crash()
    strace.listened(program, "restore", log, _CALLS)
    running = jobs.resume(running)
    wait_until(lambda: "rt_sigtimedwait" in log.read_text(errors="replace"))
    chosen = strace.spread(strace.listed(log.read_text(errors="replace")), 2, 40)
    strace.unwrapped(program)
    for step in chosen:
        running.crash()
        strace.wrapped(program, "restore", step, "signal=KILL")
        killed = site.resume(user, running.job, running.directory)
        wait_until(lambda k=killed: _settled(k))
        strace.unwrapped(program)
        with suppress(subprocess.TimeoutExpired):
            killed.process.wait(1)
        if killed.process.poll() is None:  # how often it looks for a child is not always the same
            running = killed
            continue
        assert killed.wait() == 137, f"{step}: {killed.err()}"
        running = again(site, user, jobs, killed)
    running.crash()  # the last one was to be killed at its end
    ends_well(jobs, again(site, user, jobs, running))
    counted("kill -9 of the door at a step of a resume job", len(chosen))


@pytest.mark.parametrize("what", strace.kinds())
def test_criu_killed_or_failing_at_each_step_of_a_restore(
    site: Site, user: User, jobs: Faulty, criu: Path, counted: Callable[..., None], what: str
) -> None:
    log = site.root / "steps"
    running = jobs.start(WRITES)
    assert hook(running, "first").returncode == 0
    running.crash()
    log.touch()
    log.chmod(0o666)
    calls = _CRIU if what.startswith("signal") else ("openat", "write")
    strace.listened(criu, "restore", log, calls)
    running = jobs.resume(running)
    chosen = strace.spread(strace.listed(log.read_text(errors="replace")), 2, 20)
    strace.unwrapped(criu)
    for step in chosen:
        running.crash()
        strace.wrapped(criu, "restore", step, what)
        killed = site.resume(user, running.job, running.directory)
        status = wait_until(lambda k=killed: [k.process.poll()] if _settled(k) else [])[0]
        strace.unwrapped(criu)
        if status is None:  # it could do without that call
            running = killed
            continue
        assert status == 125, f"{step}: {killed.err()}"
        running = again(site, user, jobs, killed)
    ends_well(jobs, running)
    how = "kill -9 of CRIU" if "KILL" in what else f"{what[6:]} from a file call of CRIU"
    counted(f"{how} at a step of its restore", len(chosen))


def _settled(running: Running) -> bool:
    """It has ended, or goes on writing lines of its own: a few it may write before the end of a
    CRIU that was killed late is noticed."""
    before = running.spooled().count("\n")
    return running.process.poll() is not None or bool(
        before
        and wait_until(
            lambda: running.spooled().count("\n") > before + 5 or running.process.poll() is not None
        )
    )


def test_a_rollback_of_files_is_finished_or_undone_whenever_it_is_killed(
    site: Site, user: User, jobs: Faulty, counted: Callable[..., None]
) -> None:
    """The owner's part, `torqueckpt resume`, up to the door; nothing is lost of what he has now."""
    program, log = site.program, site.root / "steps"
    running = jobs.start(WRITES)
    assert hook(running, "first").returncode == 0
    reached = running.spooled().count("\n")
    running.wait_for_line(reached + 5)
    running.crash()
    data = running.directory / "data"
    before = data.read_text()
    log.touch()
    log.chmod(0o666)
    strace.listened(program, "resume", log)
    refused = site.resume(user, running.job, running.directory)
    refused.wait()  # sudo has no rights while it is traced, so this is as far as it goes
    assert refused.process.returncode != 7
    strace.unwrapped(program)
    found = strace.listed(log.read_text(errors="replace"))
    chosen = strace.spread(found, 2, 60)
    for step in chosen:
        strace.wrapped(program, "resume", step, "signal=KILL")
        killed = site.resume(user, running.job, running.directory)
        killed.wait()
        strace.unwrapped(program)
        now = data.read_text()
        tails = sorted((site.lineage(running.job) / "tails").glob("*"))
        assert now == before or (
            before.startswith(now) and any(before == now + each.read_text() for each in tails)
        ), step
        gone = site.call(user, "verify", running.job)
        assert gone.returncode == 0, gone.stdout
    last = jobs.resume(running)
    nothing_left(site, user, sessions(site))
    ends_well(jobs, last)
    counted("kill -9 of the user's part at a step of a rollback", len(chosen))
