# SPDX-License-Identifier: MIT
"""A large job's memory is verified while it is restored: until then nothing of the job runs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.job.test_compressed import checkpoint
from tests.job.test_images import flip
from tests.support import Running, Site, User, kill, lines, session, wait_until

_LINES = 40
# Memory of which every byte is looked at in the end; a file that a restart cuts back.
_JOB = f"""#!/usr/bin/python3 -u
import hashlib, os, sys, time
mine = bytearray(os.urandom(1 << 20) * 80)
known = hashlib.sha256(mine).digest()
log = open("log", "w", buffering=1)
for i in range(1, {_LINES} + 1):
    print("line", i)
    log.write(f"{{i}}\\n")
    time.sleep(0.1)
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
    """The call that restarts it, in the place of a job that was killed: its output is there."""
    leader, user = running.leader(), running.site.owner_of(running.job)
    running.wait_for_line(running.spooled().count("\n") + 3)
    kill(running.process.pid)
    running.process.wait()
    members = session(leader)
    for pid in members:
        kill(pid)
    wait_until(lambda: not session(leader))
    return [running.site.restart_program, str(leader), running.job, user, user, "-", "-"]


def restarted(call: list[str | Path]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(call, start_new_session=True, capture_output=True, timeout=60)


def memory(running: Running, number: int) -> Path:
    """The largest file of an image."""
    found = (running.site.lineage(running.job) / str(number) / "image").glob("pages-*")
    return max(found, key=lambda file: file.stat().st_size)


def errors(running: Running) -> str:
    return (running.site.spool / "spool" / f"{running.job}.ER").read_text()


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
        assert user.processes() == []
    assert not list(Path("/run").glob("torqueckpt-*"))
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
    journal = site.store / "jobs" / user.name / "journal"
    noted = [json.loads(line) for line in journal.read_text().splitlines()]
    told = [(each["event"], each.get("generation")) for each in noted][-2:]
    assert told == [("restart-failed", None), ("restart", 1)]
