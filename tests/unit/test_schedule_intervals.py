# SPDX-License-Identifier: MIT
"""The advice on intervals: Young's and Daly's formulas, the share of overhead, the walltime."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torqueckpt.batch import schedule
from torqueckpt.batch.schedule import Rate

_MINUTE, _HOUR = 60.0, 3600.0
_RATE = Rate(30 * 24 * _HOUR, 5)


# Daly's own cases: a dump of 5 minutes, a failure every 24 h, 6 h, 1 h and 15 min.
@pytest.mark.parametrize(
    ("mtbf_minutes", "young", "daly"),
    [(1440, 120.0, 116.69), (360, 60.0, 56.71), (60, 24.49, 21.28), (15, 12.25, 9.14)],
)
def test_the_formulas_give_the_published_cases(
    mtbf_minutes: float, young: float, daly: float
) -> None:
    given_ = 5 * _MINUTE, mtbf_minutes * _MINUTE
    assert schedule.young(*given_) / _MINUTE == pytest.approx(young, abs=0.01)
    assert schedule.daly(*given_) / _MINUTE == pytest.approx(daly, abs=0.01)


def _expected_time(each: float, cost: float, mtbf: float) -> float:
    """Daly's model (equation 20): time spent for each second of work, restarts aside."""
    return mtbf * math.expm1((each + cost) / mtbf) / each


@pytest.mark.parametrize("mtbf", [15 * _MINUTE, _HOUR, 24 * _HOUR, 720 * _HOUR])
@pytest.mark.parametrize("cost", [1.0, 30.0, 300.0])
def test_dalys_interval_is_as_good_as_the_exact_optimum_of_his_model(
    cost: float, mtbf: float
) -> None:
    steps = (math.exp(n / 2000) for n in range(int(2000 * math.log(4 * mtbf))))
    optimum = min(_expected_time(each, cost, mtbf) for each in steps)
    told = _expected_time(schedule.daly(cost, mtbf), cost, mtbf)
    assert told == pytest.approx(optimum, rel=0.001)
    assert told <= _expected_time(schedule.young(cost, mtbf), cost, mtbf) * (1 + 1e-9)


def test_a_dump_that_takes_longer_than_nodes_live_is_taken_once_a_life() -> None:
    assert schedule.daly(200, 100) == 100


def test_checkpoints_never_take_more_than_their_share() -> None:
    often = Rate(_HOUR, 5)
    each = schedule.best(300, often)
    assert each > schedule.daly(300, _HOUR)
    assert 300 / (each + 300) == pytest.approx(0.05)


def test_a_dump_that_costs_nothing_is_not_taken_all_the_time() -> None:
    assert schedule.best(0.0, _RATE) == schedule.SHORTEST_SECONDS


def test_an_interval_that_leaves_half_an_hour_of_the_walltime_is_moved() -> None:
    """14 hours: every 90 minutes the last image is of 13:30; so every 92.9 it is of 13:56."""
    walltime, reserve = 14 * _HOUR, 4 * _MINUTE
    assert schedule.wasted(90 * _MINUTE, 0, walltime, reserve) == 30 * _MINUTE
    found = schedule.aligned(90 * _MINUTE, 0, walltime, reserve, _RATE)
    assert found is not None
    assert found / _MINUTE == pytest.approx(836 / 9)
    assert schedule.wasted(found * 0.9999, 0, walltime, reserve) < 5 * _MINUTE


@given(
    st.floats(60, 1e5), st.floats(0, 600), st.floats(0, 1e6), st.floats(0, 600), st.floats(1, 50)
)
def test_an_aligned_interval_ends_with_an_image_right_before_the_walltime(
    each: float, cost: float, left: float, reserve: float, percent: float
) -> None:
    rate = Rate(_HOUR, percent)
    found = schedule.aligned(each, cost, left, reserve, rate)
    if found is None:
        return
    count = (left - reserve) / (found + cost)
    assert count == pytest.approx(round(count))
    assert count >= 1
    assert cost / (found + cost) <= percent / 100 * (1 + 1e-6)


def test_right_before_the_walltime_there_is_no_checkpoint_any_more() -> None:
    assert schedule.aligned(3600, 10, 300, 200, _RATE) is None
    assert schedule.aligned(3600, 10, 3000, 200, _RATE) == 2790
