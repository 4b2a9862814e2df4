# SPDX-License-Identifier: MIT
"""bchkpnt, bchkpnt -k and brestart: LSF's own checkpoint interface."""

from __future__ import annotations

import pytest

from tests.lsf.lsf_job import LsfJob
from tests.lsf.sbatchd import COUNTING, Sbatchd
from tests.support import Site, wait_until


@pytest.fixture
def job(lsf: Sbatchd) -> LsfJob:
    started = lsf.bsub(script=COUNTING)
    started.wait_for_line(5)
    return started


def test_bchkpnt_leaves_the_job_running_and_a_pointer(lsf: Sbatchd, job: LsfJob) -> None:
    assert lsf.bchkpnt(job, "-c"), lsf.log
    assert (job.directory / "torqueckpt.json").exists()
    assert len(lsf.site.rows("101")) == 1
    lsf.complete(job)


@pytest.mark.parametrize("through_starter", [True, False])
def test_bchkpnt_k_ends_the_job_and_brestart_goes_on_under_a_new_number(
    lsf: Sbatchd, job: LsfJob, through_starter: bool
) -> None:
    assert lsf.bchkpnt(job, "-c", "-k"), lsf.log
    assert lsf.wait(job) == 137
    again = lsf.brestart(job, through_starter)
    again.wait_for_line(10)
    lsf.bstop(again)
    assert again.tree() == []
    lsf.bresume(again)
    assert lsf.bchkpnt(again), lsf.log
    assert [row["job"] for row in lsf.site.rows("102")][:2] == ["101", "102"]
    lsf.complete(again)


def test_bchkpnt_s_leaves_it_stopped(lsf: Sbatchd, job: LsfJob) -> None:
    assert lsf.bchkpnt(job, "-s"), lsf.log
    assert job.states() == {"T"}
    job.state = "USUSP"
    lsf.bresume(job)
    lsf.complete(job)


def test_a_failed_bchkpnt_k_lets_the_job_run_on_and_tells_why(
    lsf: Sbatchd, site: Site, job: LsfJob
) -> None:
    site.configure(criu_path="/bin/false")
    assert not lsf.bchkpnt(job, "-k")
    assert lsf.log[-1].startswith("/bin/false is version unknown")
    assert "T" not in job.states()
    lsf.complete(job)


def test_a_saved_job_is_ended_by_bchkpnt_k_with_the_image_that_it_has(
    lsf: Sbatchd, job: LsfJob
) -> None:
    lsf.bstop(job)
    assert lsf.bchkpnt(job, "-k"), lsf.log
    assert lsf.wait(job) == 137
    again = lsf.brestart(job)
    lsf.complete(again)


def test_a_brestart_that_fails_is_tried_again_and_keeps_the_image(
    lsf: Sbatchd, site: Site, job: LsfJob
) -> None:
    assert lsf.bchkpnt(job, "-k"), lsf.log
    assert lsf.wait(job) == 137
    site.configure(criu_path="/bin/false")
    again = lsf.brestart(job)
    wait_until(lambda: "job 102 stays suspended, its image is kept: /bin/false" in again.spooled())
    assert again.tree() == []
    site.configure()
    lsf.bstop(again)
    lsf.bresume(again)
    lsf.complete(again, after=2)  # the reason, said twice


def test_a_job_without_a_starter_is_not_checkpointed_and_runs_on(lsf: Sbatchd) -> None:
    lsf.starter = "%USRCMD"
    plain = lsf.bsub(script=COUNTING)
    plain.wait_for_line(2)
    assert not lsf.bchkpnt(plain, "-k")
    assert "no lsf-jobstarter" in lsf.log[-1]
    lsf.complete(plain)
