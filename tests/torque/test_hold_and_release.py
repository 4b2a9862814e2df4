# SPDX-License-Identifier: MIT
"""qchkpt, qhold, qrls and qdel of real jobs under a real pbs_mom."""

from __future__ import annotations

from pathlib import Path

from tests.support import User, count_script, lines
from tests.torque.private import PrivateTorque


def delivered(directory: Path, job: str) -> tuple[str, str]:
    """The job's stdout and stderr, as MOM delivered them."""
    number = job.partition(".")[0]
    return tuple((directory / f"run_job.sh.{kind}{number}").read_text() for kind in "oe")


def test_three_checkpoints_holds_and_releases_of_one_job(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    script = owner.script(count_script(120), directory)
    job = torque.start_job(owner, script, "-c", "enabled")
    for turn in range(3):
        torque.wait_for_line(job, 5 + turn * 20)
        before = torque.newest(job)
        torque.check("qchkpt", job, user=owner)
        torque.wait_for_image(job, before)
        torque.check("qhold", job, user=owner)
        torque.wait_for_state(job, "H")
        assert torque.processes(owner) == []
        torque.check("qrls", job, user=owner)
        torque.wait_until_running(job)
    status = torque.wait_for_state(job, "C", 60)
    assert status["exit_status"] == "7"
    assert delivered(directory, job) == (lines(120), "")
