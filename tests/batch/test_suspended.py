# SPDX-License-Identifier: MIT
"""A job that is checkpointed while it is suspended (qsig -s suspend) goes on after its restart."""

from __future__ import annotations

from pathlib import Path

from tests.batch.private import PrivateBatch
from tests.support import PREFIX, User, count_script, lines


def _states(server: PrivateBatch, owner: User) -> set[str]:
    """Of the user's processes."""
    stats = (server.inside(f"/proc/{pid}/stat").read_text() for pid in server.processes(owner))
    return {text.rpartition(")")[2].split()[0] for text in stats}


def _suspended(server: PrivateBatch, owner: User, directory: Path) -> str:
    """A job that stands still at some line."""
    script = owner.script(count_script(60), directory)
    job = server.start_job(owner, script, *server.holdable)
    server.wait_for_line(job, 5)
    server.check("qsig", "-s", "suspend", job)
    server.wait_for_state(job, "S")
    server.wait(
        lambda: _states(server, owner) == {"T"},
        "all its processes stopped",
        instead=lambda: (_states(server, owner), server.full_status(job)),
    )
    return job


def test_a_job_that_is_held_while_it_is_suspended_goes_on_when_it_is_released(
    server: PrivateBatch, owner: User, directory: Path
) -> None:
    server.skip_where_holds_are_lost()
    job = _suspended(server, owner, directory)
    server.hold(job, owner)
    server.release(job, owner)
    assert server.wait_for_exit(job) == "7"
    assert server.delivered(job, directory) == (lines(60), "")


def test_a_job_that_is_killed_while_it_is_suspended_goes_on_as_a_new_job(
    server: PrivateBatch, owner: User, directory: Path
) -> None:
    job = _suspended(server, owner, directory)
    session = server.full_status(job)["session_id"]
    server.check(PREFIX / "sbin/mom-checkpoint", session, job, owner.name, *"g--0-")
    assert _states(server, owner) == {"T"}
    server.check("qdel", job, user=owner)
    server.wait(lambda: server.state(job) in (server.ended_state, ""), "the job's end")
    resumed = server.resume(job, owner, directory)
    assert server.wait_for_exit(resumed, 90) == "7"
    assert server.delivered(resumed, directory) == (lines(60), "")
