# SPDX-License-Identifier: MIT
"""What sbatchd tells of a job that has ended, and whether its images are still needed."""

from __future__ import annotations

import pytest

from torqueckpt.batch.lsf import calls
from torqueckpt.errors import InvalidJobId


@pytest.mark.parametrize(
    ("number", "index", "job"),
    [("12", "0", "12"), ("12", "", "12"), ("12", "3", "12[3]")],
)
def test_a_member_of_an_array_is_a_job_of_its_own(number: str, index: str, job: str) -> None:
    assert calls.job_of({"LSB_JOBID": number, "LSB_JOBINDEX": index}) == job


@pytest.mark.parametrize("environment", [{}, {"LSB_JOBID": "../x"}, {"LSB_JOBINDEX": "1"}])
def test_outside_of_a_job_there_is_none(environment: dict[str, str]) -> None:
    with pytest.raises(InvalidJobId):
        calls.job_of(environment)


@pytest.mark.parametrize(
    ("environment", "held", "again"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"LSB_JOBEXIT_INFO": "SIGNAL -14 SIG_TERM_USER"}, True, False),
        ({"LSB_JOBEXIT_INFO": "SIGNAL -14 SIG_TERM_USER"}, False, False),
        ({"LSB_JOBEXIT_INFO": "SIGNAL -23 SIG_KILL_REQUEUE"}, False, True),
        ({"LSB_JOBEXIT_INFO": "SIGNAL -1 SIG_CHKPNT"}, False, True),
        ({"LSB_JOBPEND": "y"}, False, True),
    ],
)
def test_images_stay_while_the_job_may_be_started_again(
    environment: dict[str, str], held: bool, again: bool
) -> None:
    assert calls.comes_again(environment, held) == again
