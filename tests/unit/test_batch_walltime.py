# SPDX-License-Identifier: MIT
"""When a last checkpoint begins: in time, as late as it may, and not instead of all work."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from torqueckpt.batch import walltime as walltimes

_SECONDS = st.floats(0, 1e6)


def test_a_job_asks_for_it_by_a_variable_and_0_is_no() -> None:
    assert walltimes.wanted({"TORQUECKPT_CHAIN": "1"})
    assert not walltimes.wanted({"TORQUECKPT_CHAIN": "0"})
    assert not walltimes.wanted({})


def test_the_longest_dump_counts_and_the_size_only_before_the_first() -> None:
    assert walltimes.expected_seconds([1.0, 4.0, 2.0], 10**12) == 6.0
    assert walltimes.expected_seconds([], 100 * 2**20) == 3.0


def test_it_begins_a_dump_and_a_margin_before_the_limit() -> None:
    assert walltimes.begins(600, 6, 30) == 564


@given(_SECONDS, _SECONDS, _SECONDS)
def test_whatever_is_expected_it_begins_in_the_second_half_of_the_walltime(
    walltime: float, expected: float, margin: float
) -> None:
    assert walltime / 2 <= walltimes.begins(walltime, expected, margin) <= walltime


def test_one_that_failed_is_tried_again_until_it_would_not_end_in_time() -> None:
    assert walltimes.again(90, 100, 5) == 92
    assert walltimes.again(94, 100, 5) is None
