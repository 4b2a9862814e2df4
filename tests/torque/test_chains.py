# SPDX-License-Identifier: MIT
"""A job longer than its queue's walltime is done in several, one behind the other."""

from __future__ import annotations

from pathlib import Path

from tests.chains import running_link, service, status, submit, traced, wait_for_end
from tests.support import User, count_script, lines
from tests.torque.private import PrivateTorque


def test_a_job_of_several_walltimes_is_done_with_nothing_repeated(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    trace = directory / "trace"
    script = owner.script(traced(trace, 400), directory)
    with service(torque, margin=3, files=[f"{trace}=ignore"]):
        chain = submit(torque, owner, script, "-l", "walltime=15", "-v", "A=1")
        told, last = wait_for_end(torque, owner, chain, 240)
        ended = torque.wait_for_state(last, "C", 60)
    repeated = len(trace.read_text().split()) - 400
    print(f"{len(told['links'])} links, {repeated} lines of 0.1 s repeated")
    assert (told["state"], told["exit_status"], ended["exit_status"]) == ("ended", 7, "7")
    assert [link["end"] for link in told["links"]][:-1] == ["checkpointed"] * 3
    assert repeated == 0
    assert torque.delivered(last, directory)[0] == lines(400)


def crash(torque: PrivateTorque, owner: User) -> None:
    """The node is gone: MOM first, it must not see the job end."""
    torque.kill_mom()
    for pid in torque.processes(owner):
        torque.kill(pid)


def test_when_a_node_dies_in_link_two_the_next_goes_on_from_the_newest_image(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    trace = directory / "trace"
    script = owner.script(traced(trace, 300), directory)
    with service(torque, margin=3, files=[f"{trace}=ignore"]):
        chain = submit(torque, owner, script, "-l", "walltime=15")
        second = running_link(torque, owner, chain, 2)["job"]
        begun = len(trace.read_text().split())
        torque.wait(lambda: len(trace.read_text().split()) > begun + 20, "work in link two")
        lost_until = len(trace.read_text().split())
        crash(torque, owner)
        torque.start_mom()
        torque.wait_until_free()
        told, last = wait_for_end(torque, owner, chain, 240)
        ended = torque.wait_for_state(last, "C", 60)
    repeated = len(trace.read_text().split()) - 300
    print(f"{len(told['links'])} links, {repeated} lines of 0.1 s repeated")
    assert (told["state"], told["exit_status"], ended["exit_status"]) == ("ended", 7, "7")
    ends = {link["job"]: link["end"] for link in told["links"]}
    assert ends[second] == "lost"
    assert 0 < repeated <= lost_until - begun + 10
    assert torque.delivered(last, directory)[0] == lines(300)


def test_a_link_that_is_deleted_is_followed_by_the_next_and_cancel_ends_all(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    script = owner.script(count_script(600), directory)
    with service(torque, margin=3):
        chain = submit(torque, owner, script, "-l", "walltime=200", "-c", "enabled")
        running_link(torque, owner, chain, 1)
        torque.wait_for_line(chain, 10)
        torque.check("qchkpt", chain, user=owner)
        torque.wait_for_image(chain, 0)
        torque.check("qdel", chain, user=owner)
        second = running_link(torque, owner, chain, 2)
        torque.wait_for_line(second["job"], 20)
        assert second["began_from"] == "1"
        gone = torque.check(torque.torqueckpt, "cancel", second["job"], user=owner).split()
        assert gone[-1] == second["job"]
        assert len(gone) == 2
        torque.wait_for_state(second["job"], "C", 60)
        told = status(torque, owner, chain)
    assert (told["state"], told["exit_status"]) == ("cancelled", None)
    assert {link["state"] for link in told["links"]} == {"C"}
    assert torque.processes(owner) == []


def test_a_job_that_ends_in_its_first_link_leaves_nothing_waiting(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    words = "#!/bin/sh\n#PBS -N short\n#PBS -j oe\n"
    text = 'echo "$0 $1 $2 $A"\nhead -c 9 "$0"; sleep 3; exit 3\n'
    script = owner.script(words + text, directory)
    chain = submit(torque, owner, script, "-v", "A=1", "-F", "'one two' three")
    after = torque.submit(owner, script, "-W", f"depend=afternotok:{chain}", "-N", "after")
    running_link(torque, owner, chain, 1)
    ended = torque.wait_for_state(chain, "C", 60)
    assert (ended["exit_status"], ended["Job_Name"]) == ("3", "short")
    told, _ = wait_for_end(torque, owner, chain, 30)
    assert (told["state"], told["exit_status"], len(told["links"])) == ("ended", 3, 1)
    torque.wait_for_state(after, "C", 60)
    number = chain.partition(".")[0]
    out = (directory / f"short.o{number}").read_text()
    assert "three 1\n#!/bin/sh" in out
