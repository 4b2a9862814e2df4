# SPDX-License-Identifier: MIT
"""`resume-job --submit`: the new job takes the old one's place, for its user and for the server."""

from __future__ import annotations

from pathlib import Path

from tests.support import User, count_script, lines
from tests.torque.private import PrivateTorque

ASKED = ("-c", "enabled,c=30", "-l", "nodes=1:ppn=2,walltime=700,mem=100mb", "-m", "n")
MORE = ("-M", "ann@x", "-p", "5", "-j", "oe", "-W", "umask=027", "-v", "A=1,TORQUECKPT_X=2")


def test_a_job_of_a_node_that_died_goes_on_in_its_place(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    torque.skip_where_dependencies_hang()
    out = directory / "out.txt"
    script = owner.script(count_script(90), directory)
    job = torque.start_job(owner, script, *ASKED, *MORE, "-A", "proj7", "-o", str(out))
    waits = torque.submit(owner, script, "-W", f"depend=afterany:{job}")
    other = torque.submit(owner, script, "-W", f"depend=afterok:{job}")
    torque.wait_for_line(job, 10)
    torque.qchkpt(job, owner)
    torque.wait_for_image(job, 0)
    torque.wait_for_line(job, 25)
    torque.kill_mom()
    for pid in torque.processes(owner):
        torque.kill(pid)

    done = torque.run(torque.torqueckpt, "resume-job", job, "--submit", user=owner)
    assert done.returncode == 0, done.stderr
    new = done.stdout.strip()
    assert f"qdel -p {job}" in done.stderr
    assert torque.full_status(waits)["depend"] == f"afterany:{new}"
    assert torque.full_status(other)["depend"] == f"afterok:{new}"
    torque.start_mom()
    torque.end(job)
    torque.wait_until_running(new)
    status = torque.wait_for_state(new, "C", 60)
    assert status["exit_status"] == "7"
    assert out.read_text() == lines(90)
    before = {
        "Job_Name": "run_job.sh",
        "Account_Name": "proj7",
        "Checkpoint": "enabled,c=30",
        "Join_Path": "oe",
        "Mail_Points": "n",
        "Mail_Users": "ann@x",
        "Priority": "5",
        "umask": "23",
        "queue": "batch",
        "Resource_List.walltime": "00:11:40",
        "Resource_List.mem": "100mb",
    }
    assert {name: status.get(name) for name in before} == before
    assert status["Resource_List.nodes"].endswith(":ppn=2")
    assert "TORQUECKPT_X=2" in status["Variable_List"]

    told = [each for each in torque.journal(owner) if each["event"] == "submit"]
    assert [each["resume_job"] for each in told if each["job"] == job] == [new]
    torque.end(waits)


_NOISY = """#!/bin/sh
echo "Welcome. Maintenance on the 12th."
echo "scratch is full" >&2
PATH={path} qsub "$@"
status=$?
echo 2026
exit $status
"""


def test_what_is_asked_for_is_the_users_own_and_a_noisy_qsub_is_no_refusal(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    """No account, and no default of the queue."""
    asked = ("-c", "enabled", "-l", "nodes=1:ppn=4", "-W", "x=NACCESSPOLICY:SINGLEJOB")
    job = torque.start_job(owner, owner.script(count_script(60), directory), *asked)
    assert torque.full_status(job)["Resource_List.vmem"]  # the queue's
    torque.wait_for_line(job, 10)
    torque.qchkpt(job, owner)
    torque.wait_for_image(job, 0)
    torque.end(job)
    text = torque.check(torque.torqueckpt, "resume-job", job, user=owner)
    remarks = [line for line in text.splitlines() if line.startswith("# ")]
    assert any(each.startswith("# Not asked for again: -l vmem=") for each in remarks)
    assert any(each.startswith("# Instead of -l nodes=1:ppn=4: -l nodes=") for each in remarks)
    limits = [line for line in text.splitlines() if line.startswith("#PBS -l ")]
    assert sorted(each.split("=")[0] for each in limits) == [
        *("#PBS -l mem", "#PBS -l nodes", "#PBS -l walltime")
    ]
    assert "#PBS -A" not in text

    noisy = directory / "qsub"
    path = torque.run("printenv", "PATH", user=owner).stdout.strip()
    noisy.write_text(_NOISY.format(path=path))
    noisy.chmod(0o755)
    words = ("env", f"PATH={directory}:{path}", torque.torqueckpt, "resume-job", job, "--submit")
    done = torque.run(*words, user=owner)
    assert done.returncode == 0, done.stderr
    new = done.stdout.strip()
    shown = done.stderr.splitlines()
    assert {"Welcome. Maintenance on the 12th.", "scratch is full", "2026"} <= set(shown)
    torque.wait_until_running(new)
    status = torque.wait_for_state(new, "C", 60)
    assert (status["exit_status"], status["x"]) == ("7", "NACCESSPOLICY:SINGLEJOB")
    assert "Account_Name" not in status
    assert status["Resource_List.nodes"].endswith(":ppn=4")
    assert torque.delivered(new, directory)[0] == lines(60)


def test_root_and_a_refusing_qsub_are_told_why(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    job = torque.start_job(owner, owner.script(count_script(60), directory), "-c", "enabled")
    torque.wait_for_line(job, 10)
    torque.qchkpt(job, owner)
    torque.wait_for_image(job, 0)
    torque.end(job)
    by_root = torque.run(torque.torqueckpt, "resume-job", job, "--submit")
    assert (by_root.returncode, "root submits no jobs" in by_root.stderr) == (68, True)
    torque.check("qmgr", "-c", "set queue batch enabled=False")
    refused = torque.run(torque.torqueckpt, "resume-job", job, "--submit", user=owner)
    torque.check("qmgr", "-c", "set queue batch enabled=True")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (68, 1)
    assert "qsub" in refused.stderr
