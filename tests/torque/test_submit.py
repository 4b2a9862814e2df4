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


def test_without_an_account_the_servers_accounting_names_the_old_job(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    job = torque.start_job(owner, owner.script(count_script(60), directory), "-c", "enabled")
    torque.wait_for_line(job, 10)
    torque.qchkpt(job, owner)
    torque.wait_for_image(job, 0)
    torque.end(job)
    new = torque.check(torque.torqueckpt, "resume-job", job, "--submit", user=owner).strip()
    torque.wait_until_running(new)
    assert torque.wait_for_state(new, "C", 60)["exit_status"] == "7"
    assert torque.delivered(new, directory)[0] == lines(60)
    records = torque.inside(torque.home / "server_priv" / "accounting").iterdir()
    ended = [line for record in records for line in record.read_text().splitlines()]
    assert any(f";E;{new};" in line and f"account=resumed:{job} " in line for line in ended)


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
