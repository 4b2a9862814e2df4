# SPDX-License-Identifier: MIT
"""A node is emptied: what can be checkpointed is held; with a shared store it goes on elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import User, count_script, lines
from tests.torque.private import PrivateTorque
from tests.torque.second_node import SECOND, SecondNode

LAST = 400


@pytest.fixture
def second(torque: PrivateTorque) -> Iterator[SecondNode]:
    made = SecondNode(torque)
    try:
        made.start()
        torque.check("pbsnodes", "-o", SECOND)  # jobs begin on the first
        yield made
    finally:
        torque.run("pbsnodes", "-c", torque.host)
        made.remove()


def _drained(torque: PrivateTorque, *words: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """Status, and job → outcome and what more is told."""
    done = torque.run(torque.torqueckpt, "drain", "--json", *words, seconds=200)
    assert done.stdout, done.stderr
    rows = json.loads(done.stdout)
    return done.returncode, {row["job"]: (row["outcome"], row["what"]) for row in rows}


def test_jobs_of_a_drained_node_go_on_on_another_one(
    torque: PrivateTorque, second: SecondNode, owner: User, directory: Path
) -> None:
    torque.configure(store_shared=True)
    script = owner.script(count_script(LAST), directory)
    jobs = [torque.start_job(owner, script, "-c", "enabled") for _ in range(2)]
    never = torque.start_job(owner, script, "-c", "n")
    for job in (*jobs, never):
        torque.wait_for_line(job, 10)
    torque.check("pbsnodes", "-c", SECOND)
    status, rows = _drained(torque)
    assert status == 27
    assert rows[never] == ("left", "not checkpointable: -c n")
    assert [rows[job][0] for job in jobs] == ["moved", "moved"], rows
    assert "offline" in torque.run("pbsnodes", torque.host).stdout
    for job in jobs:
        torque.wait_until_running(rows[job][1])
    for job in jobs:
        new = rows[job][1]
        assert torque.full_status(new)["exec_host"].startswith(f"{SECOND}/")
        assert torque.ended(job, 10)
        assert torque.wait_for_state(new, "C", 200)["exit_status"] == "7"
        assert torque.delivered(new, directory)[0] == lines(LAST)
    assert torque.wait_for_state(never, "C", 200)["exit_status"] == "7"
    assert torque.delivered(never, directory) == (lines(LAST), "")
    restarted = [each for each in torque.journal(owner) if each["event"] == "restart"]
    assert {each["image_of"] for each in restarted} >= set(jobs)


def test_without_a_shared_store_they_are_held_until_the_node_is_back(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    job = torque.start_job(owner, owner.script(count_script(100), directory), "-c", "enabled")
    torque.wait_for_line(job, 10)
    status, rows = _drained(torque, "--node", torque.host)
    assert (status, rows[job][0]) == (0, "held"), rows
    by_user = torque.loses_holds  # then it is the resume job that waits
    job = rows[job][1].partition(";")[0].removeprefix("as ") if by_user else job
    held = torque.wait_for_state(job, "H")
    assert (held["Hold_Types"], torque.processes(owner)) == ("u" if by_user else "s", [])
    assert held["comment"] == f"held by torqueckpt drain of {torque.host}"
    if torque.forgets_a_second_end:
        torque.run("pbsnodes", "-c", torque.host)
        torque.release(job, None, "-h", "s")
    else:
        status, rows = _drained(torque, "--undo")
        assert (status, rows[job]) == (0, ("released", "to be restarted from its image"))
    assert torque.wait_for_state(job, "C", 100)["exit_status"] == "7"
    assert torque.delivered(job, directory)[0] == lines(100)
    torque.wait_until_free()


def test_a_job_whose_checkpoint_fails_runs_on_and_is_told(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    torque.configure(criu_path="/nonexistent/criu")
    job = torque.start_job(owner, owner.script(count_script(300), directory), "-c", "enabled")
    torque.wait_for_line(job, 10)
    status, rows = _drained(torque)
    torque.run("pbsnodes", "-c", torque.host)
    assert (status, rows[job][0]) == (27, "left")
    assert "/nonexistent/criu is missing" in rows[job][1]
    ended = torque.wait_for_state(job, "C", 100)
    assert (ended["exit_status"], ended["Hold_Types"]) == ("7", "n")
    assert torque.delivered(job, directory) == (lines(300), "")
    torque.wait_until_free()


def test_a_user_cannot_drain(torque: PrivateTorque, owner: User) -> None:
    done = torque.run(torque.torqueckpt, "drain", user=owner)
    assert (done.returncode, "needs root" in done.stderr) == (77, True)
