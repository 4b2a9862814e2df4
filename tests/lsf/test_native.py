# SPDX-License-Identifier: MIT
"""bchkpnt, bchkpnt -k and brestart: LSF's own checkpoint interface."""

from __future__ import annotations

import subprocess

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


def test_everything_that_lsf_stops_after_bchkpnt_of_a_suspended_job_goes_on(
    lsf: Sbatchd, job: LsfJob
) -> None:
    lsf.bstop(job)
    assert lsf.bchkpnt(job), lsf.log
    wait_until(lambda: job.all_states() == {"T"})
    lsf.bresume(job)
    assert "T" not in job.all_states()
    lsf.complete(job)
    assert lsf.log == []


def test_without_a_method_in_lsf_conf_nothing_of_ours_is_called(lsf: Sbatchd, job: LsfJob) -> None:
    lsf.method = ""
    assert not lsf.bchkpnt(job)
    assert "echkpnt.default: not found" in lsf.log[-1]
    lsf.complete(job)


def test_the_output_of_a_migrated_job_stays_where_lsf_leaves_it(
    lsf: Sbatchd, site: Site, job: LsfJob
) -> None:
    lsf.bmig(job)
    assert "may be started from it again: not deleted" in lsf.log.pop()
    lsf.complete(job)
    assert job.directory in job.out.parents and job.out.exists()
    assert f"{job.directory} stays: LSF has not delivered its output" in lsf.log[-1]
    assert site.rows() == []


def test_brestart_of_a_job_that_was_suspended_since_its_bchkpnt_goes_on_from_there(
    lsf: Sbatchd, job: LsfJob
) -> None:
    assert lsf.bchkpnt(job), lsf.log
    job.wait_for_line(15)
    lsf.bstop(job)
    lsf.host_dies(job)
    again = lsf.brestart(job)
    lsf.complete(again)
    assert lsf.noted("restart")["generation"] == 2


def test_a_job_that_was_never_checkpointed_by_lsf_can_be_started_again_from_its_suspension(
    lsf: Sbatchd, job: LsfJob
) -> None:
    lsf.bstop(job)
    lsf.host_dies(job)
    again = lsf.brestart(job)
    lsf.complete(again)


def test_a_link_that_brestart_left_and_leads_nowhere_is_told_in_a_line(
    lsf: Sbatchd, job: LsfJob
) -> None:
    assert lsf.bchkpnt(job, "-k"), lsf.log
    lsf.wait(job)
    again = lsf.brestart(job)
    lsf.complete(again)
    assert job.directory.is_symlink() and not job.directory.exists()
    argv = lsf.user.argv(lsf.server_dir / "erestart.blcr", job.directory)
    told = subprocess.run(argv, capture_output=True, text=True)
    assert told.returncode == 58 and told.stderr.count("\n") == 1
    assert f"{job.directory} names no image" in told.stderr
