# SPDX-License-Identifier: MIT
"""`torqueckpt delete --post-exec`, as sbatchd runs it: images go when a job has ended for good."""

from __future__ import annotations

import json
import subprocess
import time

import pytest

from tests.support import LIMIT_SECONDS, Running, Site, User, counting, wait_until


@pytest.fixture
def running(site: Site, user: User) -> Running:
    """A job with an image."""
    made = site.start(user, user.script(counting(600), user.directory()), "-c", "enabled")
    made.wait_for_line(1)
    assert subprocess.run(made.hook_argv(name="a")).returncode == 0
    return made


def _post_exec(
    site: Site, user: User | None, job: str, *environment: str
) -> subprocess.CompletedProcess[str]:
    words = ("/usr/bin/env", f"LSB_JOBID={job}", *environment, site.program)
    argv = [*words, "delete", "--post-exec"]
    argv = argv if user is None else user.argv(*argv)
    return subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_SECONDS)


def _note(site: Site, user: User, job: str, how: str) -> None:
    """What the job's starter notes as its last act."""
    line = {"time": int(time.time()), "event": "end", "job": job, "how": how}
    with (site.store / "jobs" / user.name / "journal").open("a") as file:
        file.write(json.dumps(line) + "\n")


def _hold(running: Running) -> None:
    assert subprocess.run(running.hook_argv(name="b", signal=15)).returncode == 0
    wait_until(lambda: running.process.poll() is not None)


def test_the_images_of_a_job_that_has_ended_go(site: Site, user: User, running: Running) -> None:
    running.crash()
    _note(site, user, running.job, "ended")
    done = _post_exec(site, user, running.job)
    assert (done.returncode, done.stdout) == (0, f"{running.job}: deleted generation 1\n")
    assert site.rows() == []
    assert _post_exec(site, user, running.job).returncode == 0  # and again: nothing is there


def test_of_a_job_whose_end_nobody_has_noted_they_stay(
    site: Site, user: User, running: Running
) -> None:
    running.crash()
    done = _post_exec(site, user, running.job, "LSB_JOBEXIT_STAT=65280")
    assert done.returncode == 24 and "that its host took along" in done.stderr
    assert len(site.rows(running.job)) == 1


def test_a_job_that_runs_keeps_them_and_its_directory(
    site: Site, user: User, running: Running
) -> None:
    done = _post_exec(site, user, running.job)
    assert done.returncode == 24
    _note(site, user, running.job, "ended")
    done = _post_exec(site, user, running.job)
    assert done.returncode == 24 and "still runs" in done.stderr
    assert len(site.rows(running.job)) == 1


@pytest.mark.parametrize("how", ["saved", "not restarted", ""])
def test_a_job_that_was_ended_with_an_image_and_waits_for_it_keeps_them(
    site: Site, user: User, running: Running, how: str
) -> None:
    _hold(running)
    if how:
        _note(site, user, running.job, how)
    done = _post_exec(site, user, running.job)
    assert done.returncode == 24 and "generation 2" in done.stderr
    assert len(site.rows(running.job)) == 2


def test_one_that_was_killed_while_it_was_suspended_does_not(
    site: Site, user: User, running: Running
) -> None:
    _hold(running)
    _note(site, user, running.job, "killed")
    assert _post_exec(site, user, running.job, "LSB_JOBPEND=1").returncode == 0
    assert site.rows() == []


def test_another_users_job_of_that_number_is_not_touched(
    site: Site, user: User, other_user: User, running: Running
) -> None:
    running.crash()
    _note(site, user, running.job, "ended")
    assert _post_exec(site, other_user, running.job).returncode == 0
    assert len(site.rows(running.job)) == 1


def test_root_removes_nothing(site: Site, running: Running) -> None:
    running.crash()
    done = _post_exec(site, None, running.job)
    assert done.returncode == 64 and "runs as root" in done.stderr
    assert len(site.rows(running.job)) == 1


@pytest.mark.parametrize(
    "words", [[], ["1.a", "--post-exec"], ["--post-exec", "--generation", "1"]]
)
def test_what_is_to_go_must_be_said_once(site: Site, user: User, words: list[str]) -> None:
    assert site.call(user, "delete", *words).returncode == 2
