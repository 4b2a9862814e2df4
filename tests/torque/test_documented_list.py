# SPDX-License-Identifier: MIT
"""The checkpoint tests that TORQUE's administrator guide lists, with the product.

Each with MOM's own directory for images, which is the product's for pointers, and with qsub's
`-c dir=`, where MOM copies and deletes as it likes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import User, count_script, lines
from tests.torque.private import PrivateTorque


@pytest.fixture(params=["default", "dir"])
def asked(request: pytest.FixtureRequest, directory: Path) -> str:
    """The value of -c."""
    return "enabled" if request.param == "default" else f"enabled,dir={directory}/images"


def test_a_checkpoint_a_restart_and_another_round(
    torque: PrivateTorque, owner: User, directory: Path, asked: str
) -> None:
    job = torque.start_job(owner, owner.script(count_script(110, 0.05), directory), "-c", asked)
    torque.wait_for_line(job, 5)
    torque.qchkpt(job, owner)
    torque.wait(lambda: torque.full_status(job).get("checkpoint_name"), "checkpoint_name")
    assert torque.state(job) == "R"
    for reached in (20, 40):
        torque.wait_for_line(job, reached)
        torque.hold(job, owner)
        torque.release(job, owner)
        torque.wait_until_running(job)
    assert torque.wait_for_state(job, "C", 60)["exit_status"] == "7"
    assert torque.delivered(job, directory) == (lines(110), "")
    assert [row["whole"] for row in torque.images(job)] == [True] * 3


def test_a_restart_from_an_older_image(
    torque: PrivateTorque, owner: User, directory: Path, asked: str
) -> None:
    job = torque.start_job(owner, owner.script(count_script(80, 0.05), directory), "-c", asked)
    torque.wait_for_line(job, 5)
    torque.qchkpt(job, owner)
    first = torque.wait(lambda: torque.full_status(job).get("checkpoint_name"), "a name")
    torque.wait_for_line(job, 30)
    torque.hold(job, owner)
    assert torque.full_status(job)["checkpoint_name"] != first
    torque.check("qalter", "-W", f"checkpoint_name={first}", job, user=owner)
    torque.release(job, owner)
    torque.wait_until_running(job)
    assert torque.wait_for_state(job, "C", 60)["exit_status"] == "7"
    assert torque.delivered(job, directory) == (lines(80), "")
    restarts = [note for note in torque.journal(owner) if note["event"] == "restart"]
    assert [note["generation"] for note in restarts if note["job"] == job] == [1]


def test_a_completed_job_runs_again_from_its_image(
    torque: PrivateTorque, owner: User, directory: Path, asked: str
) -> None:
    job = torque.start_job(owner, owner.script(count_script(50, 0.05), directory), "-c", asked)
    torque.wait_for_line(job, 10)
    torque.qchkpt(job, owner)
    assert torque.wait_for_state(job, "C", 60)["exit_status"] == "7"
    resumed = torque.resume(job, owner, directory)
    assert torque.wait_for_state(resumed, "C", 60)["exit_status"] == "7"
    assert torque.delivered(resumed, directory)[0] == lines(50)
