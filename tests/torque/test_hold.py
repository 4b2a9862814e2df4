# SPDX-License-Identifier: MIT
"""`torqueckpt hold`: as qhold, also of a server whose own hold ends jobs or loses them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import User, count_script, lines
from tests.torque.private import PrivateTorque


@pytest.mark.parametrize("spec", ["enabled", "enabled,dir={}/images"])
def test_a_held_job_goes_on_as_another_when_that_is_released(
    torque: PrivateTorque, owner: User, directory: Path, spec: str
) -> None:
    script = owner.script(count_script(90), directory)
    job = torque.start_job(owner, script, "-c", spec.format(directory))
    torque.wait_for_line(job, 10)
    new = torque.check(torque.torqueckpt, "hold", job, user=owner)
    assert torque.processes(owner) == []
    torque.wait_for_state(job, "C")
    waits = torque.wait_for_state(new, "H")
    assert waits["Hold_Types"] == "u"
    assert waits["Resource_List.walltime"] == torque.limits["walltime"]
    assert [row["whole"] for row in torque.images(job)] == [True]
    torque.check("qrls", new, user=owner)
    assert torque.wait_for_exit(new) == "7"
    assert torque.delivered(new, directory)[0] == lines(90)
    assert torque.images(job) == torque.images(new)  # none was taken a second time


def test_what_waits_for_it_waits_for_its_resume_job(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    torque.skip_where_dependencies_hang()
    job = torque.start_job(owner, owner.script(count_script(60), directory), "-c", "enabled")
    then = owner.script("#!/bin/sh\necho then\n", directory, "then.sh")
    after = torque.submit(owner, then, "-W", f"depend=afterany:{job}")
    torque.wait_for_line(job, 10)
    new = torque.check(torque.torqueckpt, "hold", job, user=owner)
    torque.wait_for_state(job, "C")
    assert torque.full_status(after)["depend"] == f"afterany:{new}"
    assert torque.state(after) == "H"
    torque.check("qrls", new, user=owner)
    assert torque.wait_for_exit(new) == "7"
    assert torque.wait_for_exit(after) == "0"


def test_a_job_that_cannot_be_dumped_runs_on(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    torque.configure(criu_path="/nonexistent/criu")
    job = torque.start_job(owner, owner.script(count_script(60), directory), "-c", "enabled")
    torque.wait_for_line(job, 10)
    done = torque.run(torque.torqueckpt, "hold", job, user=owner)
    assert (done.returncode, done.stdout) == (83, "")
    assert f"job {job} is not held: checkpointer" in done.stderr
    assert torque.run("qselect", "-s", "HQW").stdout == ""
    assert torque.wait_for_exit(job) == "7"
    assert torque.delivered(job, directory) == (lines(60), "")


def test_one_of_another_user_is_not_held(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    job = torque.start_job(owner, owner.script(count_script(60), directory), "-c", "enabled")
    torque.wait_for_line(job, 3)
    nobody = User("nobody", 65534, 65534, Path("/"))
    done = torque.run(torque.torqueckpt, "hold", job, user=nobody)
    assert (done.returncode, done.stdout) != (0, "")
    assert torque.wait_for_exit(job) == "7"
