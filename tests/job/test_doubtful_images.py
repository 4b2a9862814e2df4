# SPDX-License-Identifier: MIT
"""An image that would not come back says so when it is made, and the older one that would stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support import Running, Site, User, wait_until

_JOB = """#!/usr/bin/python3 -u
import fcntl, mmap, os, time
here = os.environ["PBS_O_WORKDIR"]
os.chdir(here)

def step(name):
    while not os.path.exists(name):
        time.sleep(0.02)
    os.unlink(name)

kept = open("kept")
print("line 1")
step("second")
SECOND
print("line 2")
step("third")
print("line 3")
while not os.path.exists("may-end"):
    time.sleep(0.02)
raise SystemExit(7)
"""
_SHUT = 'other = open("other", "r+"); os.chmod("other", 0o444)'
_OUTSIDE = "ends = os.pipe(); fcntl.fcntl(ends[0], fcntl.F_SETOWN, os.getppid())"
_OPENED = 'other = open("other", "r+")'
_WRITTEN_OVER = (
    'big = open("big", "r+b"); area = mmap.mmap(big.fileno(), 2 << 20); area[:4] = b"mine"'
)


def _job(site: Site, user: User, second: str) -> Running:
    """It has one image, and then done what is called second."""
    directory = user.directory()
    for name in ("kept", "other"):
        user.script("content", directory, name)
    user.script("", directory, "big")
    os.truncate(directory / "big", 2 << 20)
    running = site.start(user, user.script(_JOB.replace("SECOND", second), directory))
    running.wait_for_line(1)
    assert _checkpoint(running, "one").returncode == 0
    _let(running, "second", 2)
    return running


def _let(running: Running, step: str, line: int) -> None:
    (running.directory / step).touch()
    running.wait_for_line(line)


def _checkpoint(running: Running, name: str, end: bool = False) -> subprocess.CompletedProcess[str]:
    argv = running.hook_argv(name=name, depth="1", signal=signal.SIGTERM if end else 0)
    return subprocess.run(argv, stderr=subprocess.PIPE, text=True)


def _doubts(site: Site, running: Running) -> dict[int, str]:
    return {row["generation"]: row["doubts"] for row in site.rows(running.job)}


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (_SHUT, "/other may not be read and written by its user any more"),
        (_OUTSIDE, "signals go to process"),
    ],
)
def test_it_is_told_and_the_older_image_that_would_come_back_stays(
    site: Site, user: User, second: str, why: str
) -> None:
    running = _job(site, user, second)
    told = _checkpoint(running, "two")
    assert (told.returncode, why in told.stderr) == (28, True)
    assert [why in told for told in _doubts(site, running).values()] == [False, True]
    listed = site.call(None, "list", "--job", running.job).stdout
    assert " doubtful" in listed and why in listed
    assert why in site.call(user, "show", running.job).stdout
    lineage = site.lineage(running.job)
    assert why in (lineage / "2" / "log").read_text()
    assert why in (lineage.parent / "journal").read_text()
    assert _checkpoint(running, "three").returncode == 28
    assert site.generations(running.job) == [1, 3]  # as many as the depth says, and the good one


def test_a_job_is_not_ended_for_an_image_that_would_not_come_back(site: Site, user: User) -> None:
    running = _job(site, user, _SHUT)
    refused = _checkpoint(running, "held", end=True)
    assert refused.returncode == 99
    assert "not ended, for its new image (generation 2) would not come back" in refused.stderr
    assert "/other may not be read and written" in refused.stderr
    assert site.generations(running.job) == [1, 2]
    _let(running, "third", 3)
    (running.directory / "other").chmod(0o644)
    assert _checkpoint(running, "again").returncode == 0
    assert site.generations(running.job) == [3]
    assert running.wait() == 7


def test_a_restart_names_the_older_image_that_will_do_and_it_does(site: Site, user: User) -> None:
    running = _job(site, user, _OPENED)
    argv = running.hook_argv(name="two", depth="2")
    assert subprocess.run(argv).returncode == 0
    running.crash()
    (running.directory / "other").unlink()
    refused = site.resume(user, running.job, running.directory)
    assert refused.wait_as_it_is() == 125
    assert "/other is missing" in refused.err()
    assert "--generation 1 has all its files" in refused.err()
    (running.directory / "second").touch()
    user.script("content", running.directory, "other")
    resumed = site.resume(user, running.job, running.directory, "--generation", "1")
    _let(resumed, "third", 3)
    assert resumed.wait() == 7, resumed.err()
    assert resumed.out() == "line 1\nline 2\nline 3\n"


def test_a_restart_leaves_one_that_would_not_come_back_for_an_older_one(
    site: Site, user: User
) -> None:
    running = _job(site, user, _SHUT)
    assert _checkpoint(running, "two").returncode == 28
    running.crash()
    resumed = site.resume(user, running.job, running.directory)
    wait_until(lambda: resumed.spooled() == "line 1\n")  # it goes on from before that step
    (running.directory / "other").chmod(0o644)
    _let(resumed, "second", 2)
    _let(resumed, "third", 3)
    assert resumed.wait() == 7, resumed.err()
    assert resumed.out() == "line 1\nline 2\nline 3\n"
    assert "goes on from generation 1, since 2 would not come back" in resumed.err()


def test_a_file_that_was_not_copied_is_told_and_is_no_reason_not_to_end_the_job(
    site: Site, user: User
) -> None:
    site.configure(snapshot_limit_mib=1)
    running = _job(site, user, _WRITTEN_OVER)
    assert _checkpoint(running, "two").returncode == 0
    big = Path(running.directory, "big")
    told = _doubts(site, running)
    assert told[1] == "" and f"{big}: {2 << 20} bytes, more than snapshot_limit_mib" in told[2]
    assert _checkpoint(running, "held", end=True).returncode == 0
    (last,) = (row for row in site.rows(running.job) if row["generation"] == 3)
    assert json.dumps(last["doubts"]) == '""'
    wait_until(lambda: running.process.poll() is not None)
