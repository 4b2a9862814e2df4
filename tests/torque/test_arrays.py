# SPDX-License-Identifier: MIT
"""An array of which some members were killed: just these go on, and no line of output is lost."""

from __future__ import annotations

from pathlib import Path

from tests.support import User, count_script, lines
from tests.torque.private import PrivateTorque

MEMBERS, KILLED = range(20), (3, 7, 8, 12, 19)


def _member(array: str, index: int) -> str:
    return array.replace("[]", f"[{index}]")


def _written(directory: Path, array: str, index: int) -> str:
    return (directory / f"run_job.sh.o{array.partition('[')[0]}-{index}").read_text()


def test_of_an_array_of_twenty_the_five_that_were_killed_go_on(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    torque.check("qmgr", "-c", f"set node {torque.host} np=20")
    torque.configure(pid_wait_seconds=60)
    script = owner.script(count_script(160, pause=0.5), directory)
    array = torque.submit(owner, script, "-t", "0-19", "-c", "enabled")
    jobs = {index: _member(array, index) for index in MEMBERS}
    for job in jobs.values():
        torque.wait_until_running(job, 120)
    for index in KILLED:
        torque.qchkpt(jobs[index], owner)
    for index in KILLED:
        torque.wait_for_image(jobs[index], 0, 120)
    for index in KILLED:  # as by a node's lack of memory
        for process in torque.session(int(torque.full_status(jobs[index])["session_id"])):
            torque.kill(process)
    for index in MEMBERS:
        ended = torque.wait_for_state(jobs[index], "C", 300)
        assert (ended["exit_status"] == "7") == (index not in KILLED), (index, ended)

    done = torque.run(torque.torqueckpt, "resume-job", array, "--failed", user=owner)
    assert done.returncode == 0, done.stderr
    assert "#PBS -t 3,7,8,12,19\n" in done.stdout
    assert "5 go on: 3,7,8,12,19\n" in done.stderr
    assert "15 finished: 0,1,2,4," in done.stderr
    words = ("resume-job", array, "--failed", "--submit")
    new = torque.run(torque.torqueckpt, *words, user=owner).stdout.strip()
    assert new.endswith(f"[].{torque.host}")
    for index in KILLED:
        status = torque.wait_for_state(_member(new, index), "C", 200)
        assert status["exit_status"] == "7"
        assert status["Job_Name"] == f"run_job.sh-{index}"
    for index in MEMBERS:
        assert _written(directory, new if index in KILLED else array, index) == lines(160)
    journal = [each for each in torque.journal(owner) if each["event"] == "restart"]
    resumed = {(each["image_of"], each["job"]) for each in journal}
    assert {(jobs[n], _member(new, n)) for n in KILLED} <= resumed

    again = torque.run(torque.torqueckpt, "resume-job", array, "--failed", user=owner)
    assert (again.returncode, "20 finished" in again.stderr) == (26, True)
    mine = torque.run(torque.torqueckpt, "resume-job", array, "--members", "3,7", user=owner)
    assert "#PBS -t 3,7\n" in mine.stdout
    unknown = torque.run(torque.torqueckpt, "resume-job", array, "--members", "0", user=owner)
    assert unknown.returncode == 20
