# SPDX-License-Identifier: MIT
"""What the advice on intervals takes from the journal, and what it makes of a walltime."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from torqueckpt.batch import schedule
from torqueckpt.batch.schedule import Rate
from torqueckpt.cli import interval as command
from torqueckpt.reports import interval
from torqueckpt.settings import Settings

_RATE = Rate(24 * 3600, 5)


def line(time: int, event: str, job: str, **facts: Any) -> dict[str, object]:
    return {"time": time, "event": event, "job": job, **facts}


def test_a_job_that_was_resumed_without_a_hold_had_failed() -> None:
    lines = [
        line(0, "checkpoint", "1.srv", ended=False),
        line(3600, "checkpoint", "1.srv", ended=False),
        line(9000, "restart", "2.srv", image_of="1.srv"),
        line(10800, "checkpoint", "2.srv", ended=False),
    ]
    assert interval.failures_in(lines) == (3600 + 1800, 1)


def test_a_job_that_was_held_and_released_had_not_failed() -> None:
    lines = [
        line(0, "checkpoint", "1.srv", ended=False),
        line(60, "checkpoint", "1.srv", ended=True),
        line(9000, "restart", "1.srv", image_of="1.srv"),
        line(9100, "checkpoint", "1.srv", ended=False),
    ]
    assert interval.failures_in(lines) == (160, 0)


def test_two_resumes_after_one_failure_count_once() -> None:
    lines = [
        line(0, "checkpoint", "1.srv"),
        line(10, "restart", "2.srv", image_of="1.srv"),
        line(20, "restart", "3.srv", image_of="1.srv"),
    ]
    assert interval.failures_in(lines)[1] == 1


def test_what_an_owner_wrote_into_his_journal_that_is_none_is_passed_over() -> None:
    lines = [line(5, "checkpoint", "1.srv"), {"job": 7}, {"job": "1", "time": "x"}, {}]
    assert interval.failures_in(lines) == (1.0, 0)


def test_the_service_takes_the_last_image_right_before_the_walltime_and_none_after_it() -> None:
    settings = Settings()
    at, walltime, cost, taken = 0.0, 14 * 3600.0, 20.0, []
    while True:
        wait = interval.until_next(cost, walltime - at, _RATE, settings)
        if wait == math.inf:
            break
        at += wait + cost + 12  # each comes late: polled for, and overdue for a time
        taken.append(at)
    assert 600 < taken[0] < 2 * schedule.young(cost, _RATE.mtbf_seconds)
    assert 60 < walltime - taken[-1] < 180


def test_without_a_walltime_the_best_interval_stays() -> None:
    assert interval.until_next(20, None, _RATE, Settings()) == schedule.best(20, _RATE)


@pytest.fixture
def nobody_checkpointed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "jobs").mkdir()
    monkeypatch.setattr(command.settings, "load", lambda: Settings(store=tmp_path))


@pytest.mark.usefixtures("nobody_checkpointed")
def test_the_command_tells_figures_and_where_they_are_from() -> None:
    words = ["--cost", "300", "--mtbf", "24", "--walltime", "14:00:00"]
    answer = CliRunner().invoke(command.interval_command, words)
    assert answer.exit_code == 0, answer.output
    assert "300.00 s (--cost)" in answer.output
    assert "every 24 h (--mtbf)" in answer.output
    assert "Young 2:00:00, Daly 1:56:41" in answer.output
    found = json.loads(CliRunner().invoke(command.interval_command, [*words, "--json"]).output)
    assert found["aligned_seconds"] + 300 == pytest.approx((14 * 3600 - 75 - 900) / 7)
    assert found["aligned_lost_seconds"] == 975 < found["lost_seconds"]


@pytest.mark.usefixtures("nobody_checkpointed")
def test_a_size_is_enough_where_nothing_was_measured() -> None:
    answer = CliRunner().invoke(command.interval_command, ["--size", "3G", "--json"])
    found = json.loads(answer.output)
    assert found["cost_seconds"] == pytest.approx(3 * 2**30 / 1.5e9)
    assert (found["mtbf_from"], found["walltime_seconds"]) == ("the settings", None)


@pytest.mark.parametrize(
    "words", [[], ["1.srv", "--size", "1G"], ["--size", "much"], ["--cost", "1", "--walltime", "x"]]
)
@pytest.mark.usefixtures("nobody_checkpointed")
def test_a_question_that_makes_no_sense_is_refused(words: list[str]) -> None:
    assert CliRunner().invoke(command.interval_command, words).exit_code == 2
