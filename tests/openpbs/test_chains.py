# SPDX-License-Identifier: MIT
"""A job longer than its walltime is done in several, one behind the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chains import running_link, service, status, submit, traced, wait_for_end
from tests.openpbs.private import PrivateOpenPBS
from tests.support import User, count_script, lines


@pytest.fixture(autouse=True)
def real_minutes(openpbs: PrivateOpenPBS) -> Iterator[None]:
    """As the clock has them: other tests have MOM count twelve for one."""
    faster = openpbs.mom_config.read_bytes()
    openpbs.reconfigure_mom(faster.replace(b"$wallmult 12", b"$wallmult 1"))
    yield
    openpbs.reconfigure_mom(faster)


def test_a_job_of_several_walltimes_is_done_with_nothing_repeated(
    openpbs: PrivateOpenPBS, owner: User, directory: Path
) -> None:
    trace = directory / "trace"
    script = owner.script(traced(trace, 400), directory)
    with service(openpbs, margin=3, files=[f"{trace}=ignore"]):
        chain = submit(openpbs, owner, script, "-l", "walltime=15", "-v", "A=1")
        told, last = wait_for_end(openpbs, owner, chain, 240)
        ended = openpbs.wait_for_state(last, "F", 60)
    repeated = len(trace.read_text().split()) - 400
    print(f"{len(told['links'])} links, {repeated} lines of 0.1 s repeated")
    assert (told["state"], told["exit_status"], ended["Exit_status"]) == ("ended", 7, "7")
    before = [link["end"] for link in told["links"]][:-1]
    assert len(before) >= 3  # more on a busy machine
    assert set(before) == {"checkpointed"}
    assert repeated == 0
    assert openpbs.delivered(last, directory) == (lines(400), "")


def test_when_a_node_dies_in_link_two_it_goes_on_from_the_newest_image(
    openpbs: PrivateOpenPBS, owner: User, directory: Path
) -> None:
    """OpenPBS puts the job back into its queue: the same link begins once more."""
    trace = directory / "trace"
    script = owner.script(traced(trace, 300), directory)
    with service(openpbs, margin=3, files=[f"{trace}=ignore"]):
        chain = submit(openpbs, owner, script, "-l", "walltime=15")
        second = running_link(openpbs, owner, chain, 2)["job"]
        begun = len(trace.read_text().split())
        openpbs.wait(lambda: len(trace.read_text().split()) > begun + 20, "work in link two")
        openpbs.kill_mom()
        for pid in openpbs.processes(owner):
            openpbs.kill(pid)
        openpbs.start_mom()
        told, last = wait_for_end(openpbs, owner, chain, 300)
        ended = openpbs.wait_for_state(last, "F", 60)
    repeated = len(trace.read_text().split()) - 300
    print(f"{len(told['links'])} links, {repeated} lines of 0.1 s repeated, {second} lost")
    assert (told["state"], told["exit_status"], ended["Exit_status"]) == ("ended", 7, "7")
    assert repeated > 0
    assert openpbs.delivered(last, directory)[0] == lines(300)


def test_a_link_that_is_deleted_is_followed_by_the_next_and_cancel_ends_all(
    openpbs: PrivateOpenPBS, owner: User, directory: Path
) -> None:
    script = owner.script(count_script(600), directory)
    with service(openpbs, margin=3):
        chain = submit(openpbs, owner, script, "-l", "walltime=200")
        running_link(openpbs, owner, chain, 1)
        openpbs.wait_for_line(chain, 10)
        openpbs.check("qdel", chain, user=owner)
        second = running_link(openpbs, owner, chain, 2)
        gone = openpbs.check(openpbs.torqueckpt, "cancel", chain, user=owner).split()
        assert gone[-1] == second["job"]
        assert len(gone) == 2
        openpbs.wait_for_state(second["job"], "F", 60)
        told = status(openpbs, owner, chain)
    assert (told["state"], second["began_from"]) == ("cancelled", "beginning")
