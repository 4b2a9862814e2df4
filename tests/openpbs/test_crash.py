# SPDX-License-Identifier: MIT
"""MOM and job are killed together, as by a crash of the node."""

from __future__ import annotations

from pathlib import Path

from tests.openpbs.private import PrivateOpenPBS
from tests.support import User, count_script, lines


def crash(openpbs: PrivateOpenPBS, owner: User) -> None:
    """Both gone, MOM first: it must not see the job end."""
    openpbs.kill_mom()
    for pid in openpbs.processes(owner):
        openpbs.kill(pid)


def test_a_job_with_a_periodic_image_goes_on_by_itself_after_a_crash(
    openpbs: PrivateOpenPBS, owner: User, directory: Path
) -> None:
    job = openpbs.start_job(owner, owner.script(count_script(150), directory), "-c", "w=1")
    openpbs.wait_for_image(job, 0)
    written = openpbs.written(job)
    openpbs.wait(lambda: len(openpbs.written(job)) > len(written), "more than the image has")
    crash(openpbs, owner)
    openpbs.start_mom()
    openpbs.wait(lambda: openpbs.supervisor(job), "a restart", 60, openpbs.mom_log)
    status = openpbs.wait_for_state(job, "F", 90)
    assert status["Exit_status"] == "7"
    assert openpbs.delivered(job, directory) == (lines(150), "")


def test_a_job_that_was_deleted_goes_on_as_a_new_one_after_a_crash_too(
    openpbs: PrivateOpenPBS, owner: User, directory: Path
) -> None:
    wishes = "#!/bin/sh\n#PBS -c w=1\n#PBS -l select=1:ncpus=1:mem=200mb\n#PBS -N counts\n"
    text = count_script(150).replace("#!/bin/sh\n", wishes)
    job = openpbs.start_job(owner, owner.script(text, directory))
    openpbs.wait_for_image(job, 0)
    crash(openpbs, owner)
    openpbs.check("qdel", "-W", "force", job, user=owner)
    openpbs.start_mom()
    openpbs.wait_until_free()
    resumed = openpbs.resume(job, owner, directory)
    usage = openpbs.wait(
        lambda: int(openpbs.full_status(resumed).get("resources_used.mem", "0kb")[:-2]),
        "memory on the new job's account",
        instead=lambda: openpbs.full_status(resumed),
    )
    assert usage > 1000
    status = openpbs.wait_for_state(resumed, "F", 90)
    assert (status["Exit_status"], status["Job_Name"]) == ("7", "counts")
    assert (status["Checkpoint"], status["Resource_List.mem"]) == ("w=1", "200mb")
    assert openpbs.delivered(resumed, directory, "counts") == (lines(150), "")
