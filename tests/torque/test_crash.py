# SPDX-License-Identifier: MIT
"""MOM and job die in the middle; the user goes on from the last image with a new job."""

from __future__ import annotations

from pathlib import Path

from tests.support import User, count_script, lines
from tests.torque.private import PrivateTorque


def test_after_a_crash_of_job_and_mom_the_user_resumes(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    job = torque.start_job(owner, owner.script(count_script(90), directory), "-c", "enabled")
    torque.wait_for_line(job, 10)
    torque.check("qchkpt", job, user=owner)
    torque.wait_for_image(job, 0)
    torque.wait_for_line(job, 30)
    torque.kill_mom()
    for pid in torque.processes(owner):
        torque.kill(pid)
    torque.start_mom()
    torque.wait_until_free()
    torque.wait_for_state(job, "C", 60)

    resumed = torque.resume(job, owner, directory)
    torque.wait(
        lambda: torque.full_status(resumed).get("resources_used.mem", "0kb") != "0kb",
        "memory of the restored processes, accounted to the new job",
        instead=lambda: torque.full_status(resumed),
    )
    assert torque.wait_for_state(resumed, "C", 60)["exit_status"] == "7"
    assert torque.delivered(resumed, directory)[0] == lines(90)
