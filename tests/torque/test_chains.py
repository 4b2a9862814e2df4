# SPDX-License-Identifier: MIT
"""Chains of jobs that are deleted, wait, are damaged or stop, with TORQUE's commands for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.batch.chains import running_link, status, submit, traced, wait_for_end
from tests.batch.private import LONG
from tests.support import User, count_script, lines, wait_until
from tests.torque.private import PrivateTorque


def test_the_link_after_one_that_was_deleted_goes_on_from_its_image_and_its_name_cancels_all(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    script = owner.script(count_script(600), directory)
    with torque.periodic(chain_margin_seconds=3):
        chain = submit(torque, owner, script, "-l", "walltime=200", "-c", "enabled")
        running_link(torque, owner, chain, 1)
        torque.wait_for_line(chain, 10)
        torque.take_image(chain, owner)
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


def test_what_waits_for_the_job_waits_until_the_chain_has_ended(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    script = owner.script(count_script(250, status=0), directory)
    then = owner.script("#!/bin/sh\necho then\n", directory, "then.sh")
    with torque.periodic(chain_margin_seconds=2):
        chain = submit(torque, owner, script, "-l", "walltime=10")
        after = torque.submit(owner, then, "-W", f"depend=afterok:{chain}")
        second = running_link(torque, owner, chain, 2)["job"]
        torque.wait(
            lambda: (
                "afterok:" in (waits := torque.full_status(after).get("depend", ""))
                and chain not in waits
                and second not in waits
            ),
            "its waiting for the third",
            20,
            lambda: torque.full_status(after),
        )
        told, last = wait_for_end(torque, owner, chain, 120)
        assert (told["state"], told["exit_status"]) == ("ended", 0)
        assert torque.wait_for_state(after, "C", 60)["exit_status"] == "0"
    assert torque.delivered(after, directory, "then.sh")[0] == "then\n"


def test_the_image_before_is_taken_where_the_newest_is_damaged(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    script = owner.script(count_script(120), directory)
    with torque.periodic(chain_margin_seconds=3):
        chain = submit(torque, owner, script, "-l", "walltime=200", "-c", "enabled")
        for number in (1, 2):
            torque.wait_for_line(chain, 20 * number)
            torque.qchkpt(chain, owner)
            torque.wait_for_image(chain, number - 1)
        pages = next((torque.generation(chain, owner) / "image").glob("pages-*.img"))
        with pages.open("r+b") as file:
            file.truncate(4096)
        torque.check("qdel", chain, user=owner)
        told, last = wait_for_end(torque, owner, chain, 120)
    assert (told["state"], told["exit_status"]) == ("ended", 7)
    restarts = [each for each in torque.journal(owner) if each["event"] == "restart"]
    assert restarts[-1]["generation"] == 1
    torque.wait_for_state(last, "C", 60)
    assert torque.delivered(last, directory)[0] == lines(120)


def test_links_without_any_progress_end_the_chain_and_the_last_one_says_why(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    script = owner.script(count_script(600), directory)
    torque.configure(chain_idle_links=2)
    chain = submit(torque, owner, script, "-l", "walltime=200")
    for number in (1, 2):
        running = running_link(torque, owner, chain, number)["job"]
        wait_until(lambda: len(status(torque, owner, chain)["links"]) > number)  # noqa: B023
        torque.check("qdel", running, user=owner)
    told, second = wait_for_end(torque, owner, chain, 90)
    assert (told["state"], len(told["links"])) == ("stopped", 2)
    assert "2 links one after the other made no image" in told["why"]
    number = int(second.partition(".")[0]) + 1
    third = f"{number}.{second.partition('.')[2]}"
    assert torque.wait_for_state(third, "C", 60)["exit_status"] == "125"
    assert told["why"] in torque.delivered(third, directory)[1]
    assert torque.run("qselect", "-s", "HQW").stdout == ""


def test_a_first_job_that_is_deleted_before_it_began_takes_the_chain_with_it(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    script = owner.script(count_script(600), directory)
    chain = submit(torque, owner, script, "-h")
    assert status(torque, owner, chain)["state"] == "waits"
    torque.check("qdel", chain, user=owner)
    torque.wait(lambda: not torque.run("qselect", "-s", "HQWR").stdout, "nothing left", 60)
    assert torque.processes(owner) == []
    outputs = directory.glob("run_job.sh.o*")
    assert not any("line" in path.read_text() for path in outputs)


def test_without_a_link_that_waits_the_job_is_saved_and_ended_all_the_same(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    """Its owner deleted that one; or plain qsub asked for no more: a queue's setting or -v."""
    script = owner.script(count_script(600), directory)
    with torque.periodic(chain_margin_seconds=3):
        chain = submit(torque, owner, script, "-l", "walltime=12")
        waits = torque.wait(
            lambda: torque.run("qselect", "-s", "H").stdout.split(), "the waiting one"
        )
        torque.check("qdel", *waits, user=owner)
        plain = torque.start_job(owner, script, "-l", "walltime=12", "-v", "TORQUECKPT_CHAIN=1")
        for job in (chain, plain):
            assert torque.wait_for_state(job, "C", 60)["exit_status"] in ("137", "265")
            assert torque.newest(job) == 1
        assert status(torque, owner, chain)["state"] == "over"


def test_an_array_is_refused_and_deleted(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    script = owner.script(count_script(5), directory)
    words = ("submit", "-t", "1-3", script.name)
    done = torque.run(torque.torqueckpt, *words, user=owner, directory=directory)
    assert (done.returncode, done.stdout) == (68, "")
    assert "arrays have no chains" in done.stderr
    torque.wait(lambda: not torque.run("qselect", "-s", "HQWR").stdout, "nothing left", 60)


@pytest.mark.skipif(not LONG, reason="takes 11 minutes each: TORQUECKPT_LONG=1")
@pytest.mark.parametrize("dies", [False, True])
def test_ten_minutes_in_a_queue_of_three_as_settings_come(
    torque: PrivateTorque, owner: User, directory: Path, dies: bool
) -> None:
    """In the second link the node dies, or not.  An image a minute."""
    trace = directory / "trace"
    script = owner.script(traced(trace, 580, pause=1), directory)
    for name in ("max", "default"):
        torque.check("qmgr", "-c", f"set queue batch resources_{name}.walltime=180")
    try:
        with torque.periodic(
            chain_margin_seconds=10, files=[f"{trace}=ignore"], periodic_poll_seconds=10
        ):
            chain = submit(torque, owner, script, "-c", "c=1")
            if dies:
                running_link(torque, owner, chain, 2, seconds=240)
                begun = len(trace.read_text().split())
                torque.wait(
                    lambda: len(trace.read_text().split()) > begun + 100, "work in link two", 150
                )
                torque.crash(owner)
                torque.start_mom()
                torque.wait_until_free()
            told, last = wait_for_end(torque, owner, chain, 800)
            ended = torque.wait_for_state(last, "C", 60)
    finally:
        for name, limit in (("max", "24:00:00"), ("default", "00:20:00")):
            torque.check("qmgr", "-c", f"set queue batch resources_{name}.walltime={limit}")
    repeated = len(trace.read_text().split()) - 580
    print(f"{len(told['links'])} links, {repeated} lines of 1 s repeated", told["links"])
    assert (told["state"], told["exit_status"], ended["exit_status"]) == ("ended", 7, "7")
    assert len(told["links"]) == 4 + dies  # what the dead node did not do, one more does
    assert 0 < repeated <= 70 if dies else repeated == 0
    assert torque.delivered(last, directory)[0] == lines(580)
