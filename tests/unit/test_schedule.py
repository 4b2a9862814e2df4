# SPDX-License-Identifier: MIT
"""A periodic checkpoint is due by what has been: start, images, failures."""

from __future__ import annotations

import pytest

from torqueckpt.batch import schedule
from torqueckpt.batch.schedule import History


def test_the_first_one_is_due_an_interval_after_the_start() -> None:
    assert schedule.next_due(History(started=1000), 600) == 1600


def test_the_next_one_is_due_an_interval_after_the_last_image() -> None:
    assert schedule.next_due(History(1000, last_image=1650, last_try=1650), 600) == 2250


def test_jitter_puts_off_the_first_image_and_no_interval_after_it() -> None:
    assert schedule.next_due(History(1000), 600, 7) == 1607
    assert schedule.next_due(History(1000, 1650, 1650), 600, 7) == 2250
    assert schedule.next_due(History(1000, 1650, 2257, 1), 600, 7) == 2257 + 1200


def test_jobs_that_began_together_are_due_apart_and_none_much_later_than_it_asked_for() -> None:
    found = [schedule.jitter(f"{number}.server", 60, 60) for number in range(1000, 1020)]
    assert found == [schedule.jitter(f"{number}.server", 60, 60) for number in range(1000, 1020)]
    assert all(0 <= each < 15 for each in found)
    assert [sum(low <= each < low + 5 for each in found) > 2 for low in (0, 5, 10)] == [True] * 3
    assert schedule.jitter("12.server", 36000, 60) < 60
    assert schedule.jitter("12.server", 60, 0) == 0


@pytest.mark.parametrize(("failures", "waits"), [(1, 2), (2, 4), (3, 8), (4, 8), (1000, 8)])
def test_each_failure_doubles_the_wait_but_never_beyond_eightfold(
    failures: int, waits: int
) -> None:
    history = History(1000, last_image=None, last_try=5000, failures=failures)
    assert schedule.next_due(history, 600) == 5000 + waits * 600


def test_an_image_after_failures_ends_the_back_off() -> None:
    assert schedule.next_due(History(1000, last_image=9000, last_try=9000, failures=0), 600) == 9600


def test_a_checkpoint_that_would_stop_the_job_for_too_much_of_its_time_says_so() -> None:
    told = schedule.too_costly(40.0, 60, 50)
    assert told == "it would stop the job for 40.0 s of 60 s, more than 50 %"


@pytest.mark.parametrize(("frozen", "since"), [(0, 600), (29.9, 60), (30, 60), (40, 80)])
def test_one_within_its_share_is_taken(frozen: float, since: float) -> None:
    assert schedule.too_costly(frozen, since, 50) == ""
