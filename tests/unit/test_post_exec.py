# SPDX-License-Identifier: MIT
"""Which job a POST_EXEC is about."""

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
