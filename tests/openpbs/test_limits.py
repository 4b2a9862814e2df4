# SPDX-License-Identifier: MIT
"""Limits of jobs that were restarted: they count, and end nobody before."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.openpbs.private import PrivateOpenPBS
from tests.support import User, count_script, lines

_TEN_MINUTES = ("-l", "walltime=00:10:00")  # 50 seconds here


def test_a_released_job_has_its_walltime_counted_and_ends_as_it_would(
    openpbs: PrivateOpenPBS, owner: User, directory: Path
) -> None:
    job = openpbs.start_job(owner, owner.script(count_script(200), directory), *_TEN_MINUTES)
    openpbs.wait_for_line(job, 100)
    openpbs.hold(job, owner)
    openpbs.release(job, owner)
    openpbs.wait_until_restarted(job)
    openpbs.wait(lambda: walltime(openpbs, job) > 60, "walltime that is counted")
    assert openpbs.wait_for_state(job, "F", 90)["Exit_status"] == "7"
    assert openpbs.delivered(job, directory) == (lines(200), "")


def test_a_released_job_that_exceeds_its_walltime_is_ended(
    openpbs: PrivateOpenPBS, owner: User, directory: Path
) -> None:
    job = openpbs.start_job(
        owner, owner.script(count_script(2000), directory), "-l", "walltime=00:04:00"
    )
    openpbs.wait_for_line(job, 20)
    openpbs.hold(job, owner)
    openpbs.release(job, owner)
    openpbs.wait_until_restarted(job)
    status = openpbs.wait_for_state(job, "F", 120)
    assert status["Exit_status"] == "-29" and "exceeded resource walltime" in status["comment"]
    assert 240 < walltime(openpbs, job) < 600
    assert openpbs.delivered(job, directory)[0].startswith(lines(60))


@pytest.mark.parametrize(
    "asked",
    [
        "ncpus=1,mem=100mb",
        "select=1:ncpus=1:mem=100mb",
        "select=1:ncpus=1:mem=50mb+1:ncpus=1:mem=50mb",
        "nodes=1:ppn=1",
        "nodes=pbsnode",
        "host=pbsnode",
        "select=1:ncpus=1:host=pbsnode",
    ],
)
def test_however_it_was_asked_for_it_goes_on_where_it_was(
    openpbs: PrivateOpenPBS, owner: User, directory: Path, asked: str
) -> None:
    job = openpbs.start_job(owner, owner.script(count_script(80), directory), "-l", asked)
    openpbs.wait_for_line(job, 10)
    openpbs.hold(job, owner)
    openpbs.release(job, owner)
    openpbs.wait_until_restarted(job)
    status = openpbs.wait_for_state(job, "F", 60)
    assert status["Exit_status"] == "7"
    assert "host=pbsnode" in status["Resource_List.select"]
    assert openpbs.delivered(job, directory) == (lines(80), "")


def walltime(openpbs: PrivateOpenPBS, job: str) -> int:
    """Seconds, as the server has them."""
    told = openpbs.full_status(job).get("resources_used.walltime", "0:0:0")
    hours, minutes, seconds = map(int, told.split(":"))
    return hours * 3600 + minutes * 60 + seconds
