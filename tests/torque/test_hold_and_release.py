# SPDX-License-Identifier: MIT
"""qchkpt and qhold of one job again and again: OpenPBS holds a job once."""

from __future__ import annotations

from pathlib import Path

from tests.support import User, count_script, lines
from tests.torque.private import PrivateTorque


def test_three_checkpoints_holds_and_releases_of_one_job(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    job = torque.start_job(owner, owner.script(count_script(500, 0.05), directory), "-c", "enabled")
    for turn in range(3):
        torque.wait_for_line(job, 5 + turn * 20)
        torque.take_image(job, owner)
        torque.hold(job, owner)
        assert torque.processes(owner) == []
        torque.release(job, owner)
        torque.wait_until_restarted(job)
    assert torque.wait_for_exit(job, 90) == "7"
    assert torque.delivered(job, directory) == (lines(500), "")
