# SPDX-License-Identifier: MIT
"""Checkpoints that nobody asks for, where MOM's own timer may not work."""

from __future__ import annotations

import subprocess
from datetime import datetime
from pathlib import Path

import pytest

from tests.batch.private import LONG
from tests.support import User, count_script, lines
from tests.torque.private import PrivateTorque


def test_qsub_and_mom_take_auto_for_a_number_of_minutes(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    script = owner.script(count_script(100), directory)
    for spec in ("c=auto", "periodic,interval=auto"):
        job = torque.start_job(owner, script, "-c", f"enabled,{spec}")
        torque.wait_for_line(job, 5)
        assert torque.full_status(job)["Checkpoint"] == f"enabled,{spec}"
        assert torque.check(torque.torqueckpt, "periodic", "--once") == ""  # not due yet
        torque.qchkpt(job, owner)
        torque.wait_for_image(job, 0)
        assert torque.wait_for_state(job, "C", 60)["exit_status"] == "7"


@pytest.mark.skipif(not LONG, reason="takes 4 minutes: TORQUECKPT_LONG=1")
def test_one_image_a_minute_whether_moms_timer_works_or_not(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    """The service runs beside MOM with its settings as they come."""
    service = subprocess.Popen(torque.argv(torque.torqueckpt, "periodic"))
    try:
        script = owner.script(count_script(2200), directory)
        job = torque.start_job(owner, script, "-c", "c=1")
        began = datetime.now().timestamp()
        torque.wait(lambda: torque.newest(job) >= 3, "the third image", 230)
        made = [datetime.fromisoformat(row["created"]).timestamp() for row in torque.images(job)]
        seconds = [round(each - began) for each in made]
        print(f"images after {seconds} s")
        assert torque.newest(job) == 3
        for minute, each in enumerate(seconds, 1):
            assert 55 <= each - (minute - 1) * 60 <= 60 + minute * 35
        status = torque.wait_for_state(job, "C", 200)
        assert torque.newest(job) <= 4
        assert status["exit_status"] == "7"
        assert torque.delivered(job, directory)[0] == lines(2200)
    finally:
        service.terminate()
        service.wait(30)
