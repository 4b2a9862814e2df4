# SPDX-License-Identifier: MIT
"""A job longer than its walltime is done in several, one behind the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.batch.chains import running_link, status, submit, traced, wait_for_end
from tests.batch.private import PrivateBatch
from tests.support import User, count_script, lines


@pytest.fixture(autouse=True)
def real_minutes(server: PrivateBatch) -> Iterator[None]:
    """As the clock has them."""
    with server.real_minutes():
        yield


def test_a_job_of_several_walltimes_is_done_with_nothing_repeated(
    server: PrivateBatch, owner: User, directory: Path
) -> None:
    trace = directory / "trace"
    script = owner.script(traced(trace, 400), directory)
    with server.periodic(chain_margin_seconds=3, files=[f"{trace}=ignore"]):
        chain = submit(server, owner, script, "-l", "walltime=15", "-v", "A=1")
        told, last = wait_for_end(server, owner, chain, 240)
        exit_status = server.wait_for_exit(last)
    repeated = len(trace.read_text().split()) - 400
    print(f"{len(told['links'])} links, {repeated} lines of 0.1 s repeated")
    assert (told["state"], told["exit_status"], exit_status) == ("ended", 7, "7")
    before = [link["end"] for link in told["links"]][:-1]
    assert len(before) >= 3  # more on a busy machine
    assert set(before) == {"checkpointed"}
    assert repeated == 0
    assert server.delivered(last, directory)[0] == lines(400)


def test_when_a_node_dies_in_link_two_it_goes_on_from_the_newest_image(
    server: PrivateBatch, owner: User, directory: Path
) -> None:
    """In the next link, or, where the server puts the job back into its queue, in the same one."""
    trace = directory / "trace"
    script = owner.script(traced(trace, 300), directory)
    with server.periodic(chain_margin_seconds=3, files=[f"{trace}=ignore"]):
        chain = submit(server, owner, script, "-l", "walltime=15")
        second = running_link(server, owner, chain, 2)["job"]
        begun = len(trace.read_text().split())
        server.wait(lambda: len(trace.read_text().split()) > begun + 20, "work in link two")
        server.crash(owner)
        server.start_mom()
        server.wait_until_free()
        told, last = wait_for_end(server, owner, chain, 300)
        exit_status = server.wait_for_exit(last)
    repeated = len(trace.read_text().split()) - 300
    print(f"{len(told['links'])} links, {repeated} lines of 0.1 s repeated")
    assert (told["state"], told["exit_status"], exit_status) == ("ended", 7, "7")
    ends = {link["job"]: link["end"] for link in told["links"]}
    assert (ends[second] == "lost") == (not server.requeues_lost_jobs)
    assert repeated > 0
    newest = 0
    for each in (each for each in server.journal(owner) if each["job"] in ends):
        if each["event"] == "checkpoint":
            newest = each["generation"]
        elif each["event"] == "restart":
            assert each["generation"] == newest
    assert newest > 0
    assert server.delivered(last, directory)[0] == lines(300)


def test_a_link_that_is_deleted_is_followed_by_the_next_and_cancel_ends_all(
    server: PrivateBatch, owner: User, directory: Path
) -> None:
    script = owner.script(count_script(600), directory)
    with server.periodic(chain_margin_seconds=3):
        chain = submit(server, owner, script, "-l", "walltime=200")
        running_link(server, owner, chain, 1)
        server.wait_for_line(chain, 10)
        server.check("qdel", chain, user=owner)
        second = running_link(server, owner, chain, 2)
        session = server.wait(
            lambda: server.full_status(second["job"]).get("session_id"), "its session"
        )
        gone = server.check(server.torqueckpt, "cancel", chain, user=owner).split()
        assert gone[-1] == second["job"]
        assert len(gone) == 2
        server.wait_for_state(second["job"], server.ended_state, 60)
        told = status(server, owner, chain)
    assert (told["state"], told["exit_status"]) == ("cancelled", None)
    assert second["began_from"] == "beginning"
    assert {link["state"] for link in told["links"]} <= {server.ended_state, ""}
    server.wait(lambda: not server.session(int(session)), "the end of the job's processes")
