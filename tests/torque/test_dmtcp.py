# SPDX-License-Identifier: MIT
"""Jobs that DMTCP checkpoints, launched by pbs_mom through mom-run."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.job.test_checkpointers import NEEDS_DMTCP
from tests.support import User, count_script, lines
from tests.torque.private import PrivateTorque


@NEEDS_DMTCP
def test_a_job_is_held_and_released_and_goes_on_as_a_new_job(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    where = Path(shutil.which("dmtcp_launch") or "").parent
    torque.configure(checkpointer="dmtcp", dmtcp_dir=str(where))
    job = torque.start_job(owner, owner.script(count_script(90), directory), "-c", "enabled")
    for line in (5, 20):
        torque.wait_for_line(job, line)
        torque.hold(job, owner)
        assert torque.processes(owner) == []
        torque.release(job, owner)
        torque.wait_until_running(job)
    torque.wait_for_line(job, 35)
    before = torque.newest(job)
    torque.qchkpt(job, owner)
    torque.wait_for_image(job, before)
    torque.check("qdel", job, user=owner)
    torque.wait(lambda: torque.state(job) in ("C", ""), "the job's end")
    resumed = torque.resume(job, owner, directory)
    assert torque.wait_for_state(resumed, "C", 60)["exit_status"] == "7"
    assert torque.delivered(resumed, directory)[0] == lines(90)
    assert {row["checkpointer"] for row in torque.images(job)} == {"dmtcp"}
