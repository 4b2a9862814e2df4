# SPDX-License-Identifier: MIT
"""qchkpt, qhold, qrls and qdel of real jobs under a real pbs_mom."""

from __future__ import annotations

from pathlib import Path

from tests.support import User, count_script, lines
from tests.torque.private import PrivateTorque


def test_three_checkpoints_holds_and_releases_of_one_job(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    job = torque.start_job(owner, owner.script(count_script(160, 0.05), directory), "-c", "enabled")
    for turn in range(3):
        torque.wait_for_line(job, 5 + turn * 20)
        before = torque.newest(job)
        torque.check("qchkpt", job, user=owner)
        torque.wait_for_image(job, before)
        torque.check("qhold", job, user=owner)
        torque.wait_for_state(job, "H")
        assert torque.processes(owner) == []
        torque.release(job, owner)
        torque.wait_until_running(job)
    status = torque.wait_for_state(job, "C", 60)
    assert status["exit_status"] == "7"
    assert torque.delivered(job, directory) == (lines(160), "")


def test_qdel_of_a_released_job_leaves_no_process_and_its_image(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    job = torque.start_job(owner, owner.script(count_script(400), directory), "-c", "enabled")
    torque.wait_for_line(job, 5)
    torque.check("qhold", job, user=owner)
    torque.wait_for_state(job, "H")
    torque.release(job, owner)
    torque.wait_until_running(job)
    torque.wait_for_line(job, 20)
    torque.check("qdel", job, user=owner)
    torque.wait(lambda: not torque.processes(owner), "the end of all processes")
    torque.wait_for_state(job, "C")
    assert [row["whole"] for row in torque.images(job)] == [True]


def test_a_held_job_that_is_deleted_goes_on_as_a_new_job(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    job = torque.start_job(owner, owner.script(count_script(40), directory), "-c", "enabled")
    torque.wait_for_line(job, 5)
    torque.check("qhold", job, user=owner)
    torque.wait_for_state(job, "H")
    torque.check("qdel", job, user=owner)
    torque.wait(lambda: torque.state(job) in ("C", ""), "the job's end")
    resumed = torque.resume(job, owner, directory)
    assert torque.wait_for_state(resumed, "C", 60)["exit_status"] == "7"
    assert torque.delivered(resumed, directory)[0] == lines(40)
