# SPDX-License-Identifier: MIT
"""What a job's starter notes of its end, by which its images go or stay."""

from __future__ import annotations

import os
import signal

import pytest

from tests.unit import real
from torqueckpt.lsf import records
from torqueckpt.lsf.ending import Ending
from torqueckpt.settings import Settings
from torqueckpt.store import journal

_SBATCHD, _INIT = 4242, 1


class Noted:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lines: list[tuple[str, str, dict[str, object]]] = []
        monkeypatch.setattr(records, "note_end", self._note)

    def _note(self, job: str, how: str, settings: Settings, **facts: object) -> None:
        self.lines.append((job, how, facts))


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> Noted:
    return Noted(monkeypatch)


@pytest.fixture
def ending() -> Ending:
    return Ending("101", Settings())


@pytest.mark.parametrize(
    ("status", "number", "how"),
    [
        (0, 0, journal.ENDED),
        (7, 0, journal.ENDED),
        (143, 0, journal.ENDED),  # a program of the job's own was ended, or its script says so
        (143, signal.SIGTERM, journal.KILLED),
        (130, signal.SIGINT, journal.KILLED),
        (9, signal.SIGTERM, journal.ENDED),  # its trap
        (138, signal.SIGUSR1, journal.ENDED),
        (140, signal.SIGUSR2, journal.LIMIT),
        (140, 0, journal.LIMIT),  # it came to the programs first
        (0, signal.SIGUSR2, journal.LIMIT),  # the last of its programs may have been fine
        (152, signal.SIGXCPU, journal.LIMIT),
        (130, signal.SIGQUIT, journal.LIMIT),
        (137, 0, journal.LIMIT),  # by the kernel, for want of memory
        (153, 0, journal.LIMIT),
    ],
)
def test_a_job_that_ends_by_itself_is_told_from_one_that_was_killed(
    ending: Ending, noted: Noted, status: int, number: int, how: str
) -> None:
    if number:
        ending.signalled(number, _SBATCHD, by_root=True)
    ending.note(status, is_saved=False)
    assert noted.lines == [("101", how, {"status": status})]


def test_what_the_user_himself_signals_is_no_limit(ending: Ending, noted: Noted) -> None:
    ending.signalled(signal.SIGUSR2, _SBATCHD, by_root=False)
    ending.note(7, is_saved=False)
    assert noted.lines == [("101", journal.ENDED, {"status": 7})]


def test_a_saved_job_reaches_a_limit_too(ending: Ending, noted: Noted) -> None:
    ending.signalled(signal.SIGUSR2, _SBATCHD, by_root=True)
    ending.signalled(signal.SIGINT, _SBATCHD, by_root=True)
    ending.note(130, is_saved=True)
    assert noted.lines == [("101", journal.LIMIT, {"status": 130})]


def test_a_saved_job_was_killed_or_could_not_be_restarted(ending: Ending, noted: Noted) -> None:
    ending.note(130, is_saved=True)
    ending.has_failed("restart", 1700000000)
    ending.note(143, is_saved=True)
    ending.has_worked()
    ending.note(143, is_saved=True)
    assert [how for _, how, _ in noted.lines] == ["killed", "not restarted", "killed"]


def test_one_that_lsf_has_ended_with_an_image_waits_for_it(ending: Ending, noted: Noted) -> None:
    ending.kept = ending.migrated = True
    ending.note(137, is_saved=False)
    assert noted.lines == [("101", journal.SAVED, {"status": 137, "migrated": True})]


def test_a_node_that_goes_down_takes_its_jobs_along_and_nothing_is_noted(
    ending: Ending, noted: Noted
) -> None:
    ending.signalled(signal.SIGTERM, _INIT, by_root=True)
    ending.note(143, is_saved=False)
    ending.note(143, is_saved=True)
    assert noted.lines == []


def test_what_fails_as_the_job_is_being_ended_is_no_failure(ending: Ending, noted: Noted) -> None:
    def work() -> int:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        os.kill(os.getpid(), signal.SIGTERM)
        ending.has_failed("restart", 1700000000)
        ending.note(143, is_saved=True)
        facts = {"status": 143, "amid": "restart", "since": 1700000000}
        told = [("101", journal.KILLED, facts)]
        return 0 if noted.lines == told else 1

    assert real.in_child(work) == 0
