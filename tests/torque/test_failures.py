# SPDX-License-Identifier: MIT
"""A restart that fails under TORQUE's pbs_mom: the job waits on hold."""

from __future__ import annotations

import time
from pathlib import Path

from tests.support import User, count_script, lines
from tests.torque.private import PrivateTorque


def test_a_restart_from_a_damaged_image_waits_held_until_it_is_mended(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    job = torque.start_job(owner, owner.script(count_script(40), directory), "-c", "enabled")
    torque.wait_for_line(job, 5)
    torque.hold(job, owner)
    image = torque.generation(job, owner) / "image" / "inventory.img"
    whole = image.read_bytes()
    image.write_bytes(whole[:10])
    torque.release(job, owner)
    status = torque.wait_for_hold(job)
    assert "restart failed" in status["comment"] and "inventory.img" in status["comment"]
    time.sleep(3)
    assert torque.full_status(job)["start_count"] == status["start_count"]
    image.write_bytes(whole)
    torque.release(job, None, "-h", "s")
    torque.wait_until_running(job)
    assert torque.wait_for_state(job, "C", 60)["exit_status"] == "7"
    out, err = torque.delivered(job, directory)
    assert out == lines(40)
    assert err == "" or err.startswith("torqueckpt: ")
