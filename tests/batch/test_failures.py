# SPDX-License-Identifier: MIT
"""A checkpoint that fails under a real pbs_mom: the job and its image survive."""

from __future__ import annotations

from pathlib import Path

from tests.batch.private import PrivateBatch
from tests.support import User, lines

# A child holds shared memory of System V while the file `take` is there.
SHARED = """#!/bin/sh
cd {directory}
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


def test_a_checkpoint_that_fails_leaves_the_job_and_the_earlier_image_and_can_be_tried_again(
    server: PrivateBatch, owner: User, directory: Path
) -> None:
    owner.script(HOLD, directory, "shared.py")
    script = owner.script(SHARED.format(directory=directory), directory)
    job = server.start_job(owner, script, *server.checkpointable)
    server.take_image(job, owner)
    known = server.pointer_files()
    (directory / "take").touch()
    server.wait((directory / "held").exists, "shared memory")
    newest = server.newest(job)
    server.assert_checkpoint_fails(job, owner, "shared memory")
    assert server.newest(job) == newest
    # MOM moves it aside while it tries for an image of its own, and puts it back
    server.wait(lambda: server.pointer_files() == known, "the pointer", 60, server.pointer_files)

    (directory / "take").unlink()
    server.wait(lambda: "shared.py" not in server.check("ps", "ax"), "the shared memory's end")
    # OpenPBS refuses, too, while MOM takes a periodic one.
    server.wait(lambda: server.can_hold(job, owner), "a hold")
    server.wait_for_state(job, "H")
    assert server.newest(job) > newest
    server.release(job, owner)
    server.wait_until_restarted(job)
    assert server.wait_for_exit(job) == "7"
    out, err = server.delivered(job, directory)
    assert out == lines(250)
    assert set(err.splitlines()) <= {"Checkpoint failed, error 15041"}  # MOM's, of its own attempt

    resumed = server.resume(job, owner, directory)
    assert server.wait_for_exit(resumed) == "7"
    assert server.delivered(resumed, directory)[0] == lines(250)
