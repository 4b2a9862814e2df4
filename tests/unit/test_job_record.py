# SPDX-License-Identifier: MIT
"""What a job's letter at its server means, the same for everybody who asks."""

from __future__ import annotations

import pytest

from torqueckpt.ifl.records import Job

QUESTIONS = ("waits", "is_in_queue", "is_held", "runs", "is_exiting", "has_ended")


@pytest.mark.parametrize(
    ("letters", "answers"),
    [
        ("QW", {"waits", "is_in_queue"}),
        ("H", {"waits", "is_in_queue", "is_held"}),
        ("T", {"waits"}),
        ("R", {"runs"}),
        ("E", {"is_exiting"}),
        ("CFX", {"has_ended"}),
        ("SUBM", set()),
    ],
)
def test_each_letter_answers_the_same_questions_with_yes(letters: str, answers: set[str]) -> None:
    for letter in letters:
        job = Job("1.srv", {"job_state": letter})
        assert {name for name in QUESTIONS if getattr(job, name)} == answers, letter


def test_a_job_whose_state_was_not_asked_for_is_in_none() -> None:
    assert not any(getattr(Job("1.srv", {}), name) for name in QUESTIONS)


def test_a_jobs_processes_belong_to_its_owner_unless_the_server_names_another_user() -> None:
    assert Job("1.srv", {"Job_Owner": "alice@node1"}).user == "alice"
    assert Job("1.srv", {"Job_Owner": "alice@node1", "euser": "bob"}).user == "bob"
