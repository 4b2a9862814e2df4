# SPDX-License-Identifier: MIT
"""MOM and job die in the middle; the user goes on from the last image with a new job."""

from __future__ import annotations

from pathlib import Path

from tests.batch.private import PrivateBatch
from tests.support import User, count_script, lines


def test_after_a_crash_of_job_and_mom_the_user_resumes(
    server: PrivateBatch, owner: User, directory: Path
) -> None:
    spec = " ".join(server.checkpointable)
    header = f"#!/bin/sh\n#PBS {spec}\n#PBS -l {server.memory_request}\n#PBS -N counts\n"
    text = count_script(250).replace("#!/bin/sh\n", header)
    job = server.start_job(owner, owner.script(text, directory))
    server.wait_for_line(job, 10)
    server.take_image(job, owner)
    written = server.written(job)
    server.wait(lambda: len(server.written(job)) > len(written), "more than the image has")
    server.crash(owner)
    server.restart_mom_without(job, owner)

    resumed = server.resume(job, owner, directory)
    usage = server.wait(
        lambda: int(server.full_status(resumed).get("resources_used.mem", "0kb")[:-2]),
        "memory of the restored processes, accounted to the new job",
        instead=lambda: server.full_status(resumed),
    )
    assert usage > 1000
    assert server.wait_for_exit(resumed, 90) == "7"
    status = server.full_status(resumed)
    assert (status["Job_Name"], status["Checkpoint"]) == ("counts", server.checkpointable[1])
    assert status["Resource_List.mem"] == "200mb"
    assert server.delivered(resumed, directory, "counts") == (lines(250), "")
