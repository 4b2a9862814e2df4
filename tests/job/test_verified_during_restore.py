# SPDX-License-Identifier: MIT
"""A large job's memory is verified while it is restored: until then nothing of the job runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.job.test_compressed import checkpoint
from tests.job.test_images import flip
from tests.support import (
    LIMIT_SECONDS,
    MAY_END,
    Running,
    Site,
    User,
    alive,
    kill,
    lines,
    python_counting,
    session,
    wait_until,
)

_LINES = 1000
# Slow until it may end, so that it is still counting when it is killed, and then at once.
_SLOWLY = f'os.path.exists(os.environ["PBS_O_WORKDIR"] + "/{MAY_END}") or time.sleep(0.1)'
_COUNTING = python_counting(_LINES, rf'{_SLOWLY}; log.write(f"{{i}}\n")', pause=0)
# Memory of which every byte is looked at in the end; a file that a restart cuts back.
_JOB = f"""#!/usr/bin/python3 -u
import hashlib, os, sys, time
mine = bytearray(os.urandom(1 << 20) * 80)
known = hashlib.sha256(mine).digest()
log = open("log", "w", buffering=1)
{_COUNTING}
sys.exit(7 if hashlib.sha256(mine).digest() == known else 1)
"""


@pytest.fixture(params=["off", "on"])
def running(request: pytest.FixtureRequest, site: Site, user: User) -> Running:
    """A job with one image, plain or compressed."""
    site.configure(compress=request.param)
    started = site.start(user, user.script(_JOB, user.directory()), "-c", "enabled")
    started.wait_for_line(2)
    checkpoint(started, "first")
    return started


def killed(running: Running) -> list[str | Path]:
    """The call that restarts it, in the place of a job that was killed: its output is there, and it
    may end."""
    leader, user = running.leader(), running.site.owner_of(running.job)
    running.wait_for_line(running.spooled().count("\n") + 3)
    kill(running.process.pid)
    running.process.wait()
    members = session(leader)
    for pid in members:
        kill(pid)
    wait_until(lambda: not session(leader))
    running.may_end.touch()
    return [running.site.restart_program, str(leader), running.job, user, user, "-", "-"]


def restarted(call: list[str | Path]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(call, start_new_session=True, capture_output=True, timeout=LIMIT_SECONDS)


def memory(running: Running, number: int) -> Path:
    """The largest file of an image."""
    found = (running.site.lineage(running.job) / str(number) / "image").glob("pages-*")
    return max(found, key=lambda file: file.stat().st_size)


def errors(running: Running) -> str:
    return (running.site.spool / "spool" / f"{running.job}.ER").read_text()


def _noted(site: Site, user: User) -> list[tuple[str, int | None]]:
    """The journal's events, and which generation they were of."""
    journal = site.store / "jobs" / user.name / "journal"
    noted = [json.loads(line) for line in journal.read_text().splitlines()]
    return [(each["event"], each.get("generation")) for each in noted]


def log_of(running: Running) -> str:
    return (running.directory / "log").read_text()


def numbers(count: int) -> str:
    return "".join(f"{i}\n" for i in range(1, count + 1))


def test_a_whole_image_goes_on(running: Running) -> None:
    ended = restarted(killed(running))
    assert ended.returncode == 7, ended.stderr
    assert running.spooled() == lines(_LINES)
    assert log_of(running) == numbers(_LINES)


def test_no_instruction_runs_of_a_job_whose_memory_is_damaged(
    site: Site, user: User, running: Running
) -> None:
    call = killed(running)
    before, damaged = log_of(running), memory(running, 1)
    written = running.spooled()
    flip(damaged)
    for _ in range(2):
        ended = restarted(call)
        assert ended.returncode == 125
        assert log_of(running) == before  # what was cut back for the restart is there again
        assert running.spooled().startswith(written)
        assert "line" not in running.spooled().removeprefix(written)
        assert f"{damaged.name} has another checksum" in errors(running)
        user.has_none()
    assert user.views() == []
    flip(damaged)
    ended = restarted(call)
    assert ended.returncode == 7, ended.stderr
    assert running.spooled() == lines(_LINES)
    assert log_of(running) == numbers(_LINES)


def test_a_damaged_image_is_passed_over_for_the_one_before(
    site: Site, user: User, running: Running
) -> None:
    running.wait_for_line(6)
    checkpoint(running, "second")
    call = killed(running)
    flip(memory(running, 2))
    ended = restarted(call)
    assert ended.returncode == 7, ended.stderr
    assert running.spooled() == lines(_LINES)
    assert log_of(running) == numbers(_LINES)
    assert _noted(site, user)[-2:] == [("restart-failed", None), ("restart", 1)]


def test_a_job_stands_still_until_it_is_verified_and_goes_with_its_supervisor(
    site: Site, user: User
) -> None:
    script = user.script(_JOB.replace("* 80", "* 300"), user.directory())  # it takes long enough
    running = site.start(user, script, "-c", "enabled")
    running.wait_for_line(2)
    checkpoint(running, "first")
    root, call = running.exec_pid(), killed(running)
    before = log_of(running)
    supervisor = subprocess.Popen(call, start_new_session=True)
    verifier = _stopped_verifier(supervisor.pid, user)
    wait_until(lambda: alive(root))
    time.sleep(1)
    assert alive(root) and alive(verifier)
    now = log_of(running)
    assert now != before and before.startswith(now)  # cut back, and nothing since
    kill(supervisor.pid)
    supervisor.wait()
    kill(verifier)
    user.has_none()
    ended = restarted(call)
    assert ended.returncode == 7, ended.stderr
    assert log_of(running) == numbers(_LINES)
    assert running.spooled() == lines(_LINES)


def test_damage_that_the_restore_itself_finds_first_is_damage_all_the_same(
    site: Site, user: User
) -> None:
    """A compressed file that cannot be unpacked ends the restore before it was wholly read."""
    site.configure(compress="on")
    script = user.script(_JOB.replace("* 80", "* 300"), user.directory())
    running = site.start(user, script, "-c", "enabled")
    running.wait_for_line(2)
    checkpoint(running, "first")
    checkpoint(running, "second")
    call, damaged = killed(running), memory(running, 2)
    with damaged.open("r+b") as file:
        file.seek(100)
        file.write(bytes(100_000))
    supervisor = subprocess.Popen(call, start_new_session=True)
    verifier = _stopped_verifier(supervisor.pid, user)
    log = damaged.parents[1] / "work" / "restore.log"
    wait_until(lambda: log.exists() and b"Restoring FAILED" in log.read_bytes())
    time.sleep(1)
    kill(verifier, signal.SIGCONT)
    assert supervisor.wait(LIMIT_SECONDS) == 7
    assert running.spooled() == lines(_LINES)
    assert log_of(running) == numbers(_LINES)
    assert _noted(site, user)[-2:] == [("restart-failed", None), ("restart", 1)]


def _stopped_verifier(supervisor: int, user: User) -> int:
    """The first process that is forked for the owner: it is stopped while it reads."""
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children")
    until = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < until:  # without a pause, in which it may have read all
        for pid in map(int, children.read_text().split()):
            with suppress(FileNotFoundError):
                if os.stat(f"/proc/{pid}").st_uid == user.uid:
                    kill(pid, signal.SIGSTOP)
                    return pid
    raise AssertionError("nobody verifies")
