# SPDX-License-Identifier: MIT
"""Checkpoints and restarts that fail under a real pbs_mom: the job and its image survive."""

from __future__ import annotations

import time
from pathlib import Path

from tests.openpbs.private import PrivateOpenPBS
from tests.support import User, count_script, lines

# A child holds shared memory of System V while the file `take` is there.
SHARED = """#!/bin/sh
python3 shared.py &
i=0
while [ $i -lt 250 ]; do
    i=$((i + 1))
    echo line $i
    sleep 0.1
done
wait
exit 7
"""
HOLD = """
import ctypes, os, time
while not os.path.exists("take"):
    time.sleep(0.1)
libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
shared = libc.shmget(0, 4096, 0o1600)
libc.shmat(shared, None, 0)
libc.shmctl(shared, 0, None)
open("held", "w").close()
while os.path.exists("take"):
    time.sleep(0.1)
"""


def pointers(openpbs: PrivateOpenPBS) -> list[str]:
    """Where MOM expects its images."""
    return openpbs.check("find", openpbs.pointers, "-type", "f").split()


def test_a_hold_that_fails_leaves_the_job_and_the_earlier_image_and_can_be_tried_again(
    openpbs: PrivateOpenPBS, owner: User, directory: Path
) -> None:
    owner.script(HOLD, directory, "shared.py")
    script = owner.script(SHARED.replace("python3", f"cd {directory}; python3"), directory)
    job = openpbs.start_job(owner, script, "-c", "w=1")
    openpbs.wait_for_image(job, 0)
    known = pointers(openpbs)
    (directory / "take").touch()
    openpbs.wait((directory / "held").exists, "shared memory")
    newest = openpbs.newest(job)
    for _ in range(2):
        refused = openpbs.run("qhold", job, user=owner)
        assert refused.returncode != 0 and "15061" in refused.stderr
        status = openpbs.full_status(job)
        assert status["job_state"] == "R"
        assert "shared memory" in status["comment"], status
    assert openpbs.newest(job) == newest
    assert pointers(openpbs) == known

    (directory / "take").unlink()
    openpbs.wait(lambda: "shared.py" not in openpbs.check("ps", "ax"), "the shared memory's end")
    # Refused, too, while MOM takes a periodic one.
    openpbs.wait(lambda: openpbs.run("qhold", job, user=owner).returncode == 0, "a hold")
    openpbs.wait_for_state(job, "H")
    assert openpbs.newest(job) > newest
    openpbs.release(job, owner)
    assert openpbs.wait_for_state(job, "F", 60)["Exit_status"] == "7"
    assert openpbs.delivered(job, directory) == (lines(250), "")


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
    assert "restart failed" in status["comment"] and "inventory.img" in status["comment"]
    assert "inventory.img" in openpbs.delivered(job, directory)[1]
    assert openpbs.newest(job) == 1
    time.sleep(3)
    assert openpbs.mom_log().count(f"{job};task 00000001 transmogrified") == 1

    image.write_bytes(whole)
    resumed = openpbs.resume(job, owner, directory)
    assert openpbs.wait_for_state(resumed, "F", 60)["Exit_status"] == "7"
    assert openpbs.delivered(resumed, directory)[0] == lines(40)


TASKS = """#!/bin/sh
{pbsdsh} -n 0 -- /bin/sleep 5 &
i=0
while [ $i -lt 90 ]; do
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
    assert (openpbs.images(job), pointers(openpbs)) == ([], [])

    openpbs.wait(lambda: "/bin/sleep 5" not in openpbs.check("ps", "ax"), "the task's end")
    openpbs.hold(job, owner)
    openpbs.release(job, owner)
    assert openpbs.wait_for_state(job, "F", 60)["Exit_status"] == "7"
    assert openpbs.delivered(job, directory) == (lines(90), "")
