# SPDX-License-Identifier: MIT
"""Failures that OpenPBS's pbs_mom tells its own way: the job and its image survive."""

from __future__ import annotations

from pathlib import Path

from tests.openpbs.private import PrivateOpenPBS
from tests.support import User, count_script, lines


def test_a_restart_from_a_damaged_image_is_told_and_keeps_the_image(
    openpbs: PrivateOpenPBS, owner: User, directory: Path
) -> None:
    job = openpbs.start_job(owner, owner.script(count_script(40), directory))
    openpbs.wait_for_line(job, 5)
    openpbs.hold(job, owner)
    image = openpbs.generation(job, owner) / "image" / "inventory.img"
    whole = image.read_bytes()
    image.write_bytes(whole[:10])
    openpbs.check("qrls", job, user=owner)
    status = openpbs.wait_for_state(job, "F")
    assert status["Exit_status"] == "125"
    assert "inventory.img" in openpbs.delivered(job, directory)[1]
    assert openpbs.newest(job) == 1

    image.write_bytes(whole)
    resumed = openpbs.resume(job, owner, directory)
    assert openpbs.wait_for_state(resumed, "F", 60)["Exit_status"] == "7"
    assert openpbs.delivered(resumed, directory)[0] == lines(40)


TASKS = """#!/bin/sh
{pbsdsh} -n 0 -- /bin/sleep 5 &
i=0
while [ $i -lt 300 ]; do
    i=$((i + 1))
    echo line $i
    sleep 0.1
done
wait
exit 7
"""


def test_a_job_of_several_tasks_is_refused_whole_and_taken_once_they_are_done(
    openpbs: PrivateOpenPBS, owner: User, directory: Path
) -> None:
    text = TASKS.format(pbsdsh=openpbs.prefix / "bin/pbsdsh")
    job = openpbs.start_job(owner, owner.script(text, directory), "-v", "PBS_CONF_FILE")
    openpbs.wait(lambda: "/bin/sleep 5" in openpbs.check("ps", "ax"), "a second task")
    refused = openpbs.run("qhold", job, user=owner)
    assert refused.returncode != 0 and "15061" in refused.stderr
    status = openpbs.full_status(job)
    assert status["job_state"] == "R"
    assert "several tasks" in status["comment"] and "task 2" in status["comment"]
    assert (openpbs.images(job), openpbs.pointer_files()) == ([], [])

    openpbs.wait(lambda: "/bin/sleep 5" not in openpbs.check("ps", "ax"), "the task's end")
    openpbs.hold(job, owner)
    openpbs.release(job, owner)
    openpbs.wait_until_restarted(job)
    assert openpbs.wait_for_state(job, "F", 60)["Exit_status"] == "7"
    assert openpbs.delivered(job, directory) == (lines(300), "")
