# SPDX-License-Identifier: MIT
"""A job that a limit has ended goes on from its images; one that a user has ended leaves none."""

from __future__ import annotations

import signal

import pytest

from tests.lsf.lsf_job import LsfJob
from tests.lsf.sbatchd import COUNTING, Sbatchd
from tests.lsf.test_signals_and_commands import waiting_criu
from tests.support import Site, kill, wait_until

_IGNORING = COUNTING.replace("i=0\n", "trap : USR2 QUIT\ni=0\n", 1)
_RUN, _CPU, _PROCESSES = signal.SIGUSR2, signal.SIGXCPU, signal.SIGQUIT


def _with_image(lsf: Sbatchd, script: str = COUNTING) -> LsfJob:
    job = lsf.bsub(script=script)
    job.wait_for_line(5)
    assert lsf.bchkpnt(job), lsf.log
    job.wait_for_line(8)
    return job


@pytest.mark.parametrize(
    ("script", "before"),
    [
        (COUNTING, [_RUN]),
        (_IGNORING, [_RUN, _PROCESSES]),
        (COUNTING, [_CPU]),
        (COUNTING, [_PROCESSES]),
    ],
)
def test_brestart_goes_on_with_a_job_whose_limit_was_reached(
    lsf: Sbatchd, site: Site, script: str, before: list[int]
) -> None:
    job = _with_image(lsf, script)
    assert lsf.limit(job, *before)
    assert lsf.noted("end")["how"] == "limit"
    assert "reached a limit and may go on from it: not deleted" in lsf.log[-1]
    assert job.directory.exists() and len(site.rows("101")) == 1
    lsf.complete(lsf.brestart(job))


def test_a_resume_job_goes_on_with_one(lsf: Sbatchd, site: Site) -> None:
    job = _with_image(lsf)
    lsf.limit(job, _RUN)
    made = site.call(lsf.user, "resume-job", job.id)
    assert made.returncode == 0, made.stderr
    again = lsf.bsub(script=made.stdout)
    again.wait_for_line(12)
    lsf.complete(again)
    assert again.spooled().startswith("line 1\nline 2\n")


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_limit_that_is_reached_amid_a_restore_counts(lsf: Sbatchd, site: Site, when: str) -> None:
    begun, go_on = waiting_criu(site, "restore", when)
    job = lsf.bsub(script=_IGNORING)
    job.wait_for_line(5)
    lsf.bstop(job)
    action = lsf.begin(job, lsf.resume)
    wait_until(lambda: begun.read_text())
    kill(job.starter(), _RUN)
    go_on.touch()
    lsf.finish(job, action)
    assert lsf.limit(job)
    assert lsf.noted("end")["how"] == "limit" and len(site.rows("101")) == 1


def test_a_suspended_job_that_reaches_its_deadline_keeps_its_image(
    lsf: Sbatchd, site: Site
) -> None:
    job = lsf.counting()
    lsf.bstop(job)
    assert lsf.limit(job, _RUN)
    assert len(site.rows("101")) == 1
    lsf.complete(lsf.brestart(job))


@pytest.mark.parametrize(
    ("info", "stay"),
    [
        ("SIGNAL -25 SIG_TERM_MEMLIMIT", True),
        ("SIGNAL -16 SIG_TERM_WINDOW", True),
        ("SIGNAL -14 SIG_TERM_USER", False),
        ("SIGNAL 2 INT", False),
        ("", False),
    ],
)
def test_where_the_signals_are_those_of_bkill_lsfs_own_word_tells(
    lsf: Sbatchd, site: Site, info: str, stay: bool
) -> None:
    job = _with_image(lsf)
    assert lsf.limit(job, info=info) == 130
    assert (bool(site.rows("101")), job.directory.exists()) == (stay, stay)


def test_a_job_that_cleans_up_at_its_memory_limit_keeps_its_images(
    lsf: Sbatchd, site: Site
) -> None:
    job = _with_image(lsf, COUNTING.replace("i=0\n", "trap 'exit 9' INT\ni=0\n", 1))
    assert lsf.limit(job, info="SIGNAL -25 SIG_TERM_MEMLIMIT") == 9
    assert len(site.rows("101")) == 1


def test_a_program_that_the_kernel_has_killed_leaves_its_images(lsf: Sbatchd, site: Site) -> None:
    job = _with_image(lsf)
    for pid in job.programs():
        kill(pid)
    assert lsf.wait(job) == 137
    assert lsf.noted("end")["how"] == "limit" and len(site.rows("101")) == 1
