# SPDX-License-Identifier: MIT
"""`torqueckpt delete --post-exec`, as sbatchd runs it: images go when a job has ended for good."""

from __future__ import annotations

import subprocess

import pytest

from tests.support import LIMIT_SECONDS, Running, Site, User, counting, wait_until

_KILLED = "LSB_JOBEXIT_INFO=SIGNAL -14 SIG_TERM_USER"


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


def _hold(running: Running) -> None:
    assert subprocess.run(running.hook_argv(name="b", signal=15)).returncode == 0
    wait_until(lambda: running.process.poll() is not None)


def test_the_images_of_a_job_that_is_over_go(site: Site, user: User, running: Running) -> None:
    running.crash()
    done = _post_exec(site, user, running.job)
    assert (done.returncode, done.stdout) == (0, f"{running.job}: deleted generation 1\n")
    assert site.rows() == []
    assert _post_exec(site, user, running.job).returncode == 0  # and again: nothing is there


def test_a_job_that_runs_keeps_them_and_its_directory(
    site: Site, user: User, running: Running
) -> None:
    done = _post_exec(site, user, running.job)
    assert done.returncode == 24 and "still runs" in done.stderr
    assert len(site.rows(running.job)) == 1


@pytest.mark.parametrize(
    "told", [(), ("LSB_JOBEXIT_INFO=SIGNAL -1 SIG_CHKPNT",), (_KILLED, "LSB_JOBPEND=1")]
)
def test_a_job_that_was_ended_by_its_checkpoint_keeps_them(
    site: Site, user: User, running: Running, told: tuple[str, ...]
) -> None:
    _hold(running)
    done = _post_exec(site, user, running.job, *told)
    assert done.returncode == 24 and "generation 2" in done.stderr
    assert len(site.rows(running.job)) == 2


def test_one_that_was_killed_while_it_was_suspended_does_not(
    site: Site, user: User, running: Running
) -> None:
    _hold(running)
    assert _post_exec(site, user, running.job, _KILLED).returncode == 0
    assert site.rows() == []


def test_another_users_job_of_that_number_is_not_touched(
    site: Site, other_user: User, running: Running
) -> None:
    running.crash()
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
