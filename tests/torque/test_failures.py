# SPDX-License-Identifier: MIT
"""Checkpoints and restarts that fail under a real pbs_mom: the job and its image survive."""

from __future__ import annotations

import time
from pathlib import Path

from tests.support import User, count_script, lines
from tests.torque.private import PrivateTorque

# From line 20 on until the file `free` is there, a child holds shared memory of System V.
SHARED = """#!/bin/sh
i=0
while [ $i -lt 80 ]; do
    i=$((i + 1))
    echo line $i
    [ $i -ne 20 ] || python3 shared.py &
    sleep 0.05
done
wait
exit 7
"""
HOLD = """
import ctypes, os, time
libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
shared = libc.shmget(0, 4096, 0o1600)
libc.shmat(shared, None, 0)
libc.shmctl(shared, 0, None)
open("held", "w").close()
while not os.path.exists("free"):
    time.sleep(0.1)
"""


def failures(torque: PrivateTorque, owner: User, job: str) -> int:
    noted = [(each["event"], each["job"]) for each in torque.journal(owner)]
    return noted.count(("checkpoint-failed", job))


def test_a_checkpoint_that_fails_leaves_the_job_and_the_earlier_image(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    owner.script(HOLD, directory, "shared.py")
    job = torque.start_job(
        owner, owner.script(SHARED, directory), "-c", "enabled", "-d", str(directory)
    )
    torque.wait_for_line(job, 5)
    torque.check("qchkpt", job, user=owner)
    torque.wait_for_image(job, 0)
    torque.wait((directory / "held").exists, "shared memory")
    for ask in ("qchkpt", "qhold"):
        time.sleep(1.5)  # MOM's names end with the second; 6.1 calls a second time
        before = failures(torque, owner, job)
        torque.check(ask, job, user=owner)
        torque.wait(
            lambda seen=before: failures(torque, owner, job) > seen,
            f"{ask}'s own failure",
        )
        torque.wait(
            lambda: "shared memory" in torque.full_status(job).get("comment", ""),
            "a comment that says why",
            instead=lambda: torque.full_status(job),
        )
        assert torque.state(job) == "R"
    time.sleep(1.5)
    assert [row["generation"] for row in torque.images(job)] == [1]
    (directory / "free").touch()
    assert torque.wait_for_state(job, "C", 60)["exit_status"] == "7"
    assert torque.delivered(job, directory) == (lines(80), "")

    resumed = torque.resume(job, owner, directory)
    assert torque.wait_for_state(resumed, "C", 60)["exit_status"] == "7"
    assert torque.delivered(resumed, directory)[0] == lines(80)


def test_a_restart_from_a_damaged_image_waits_held_until_it_is_mended(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    job = torque.start_job(owner, owner.script(count_script(40), directory), "-c", "enabled")
    torque.wait_for_line(job, 5)
    torque.check("qhold", job, user=owner)
    torque.wait_for_state(job, "H")
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
