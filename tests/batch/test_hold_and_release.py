# SPDX-License-Identifier: MIT
"""qhold, qrls and qdel of real jobs under a real pbs_mom."""

from __future__ import annotations

from pathlib import Path

from tests.batch.private import PrivateBatch
from tests.support import User, count_script, lines


def test_a_held_job_goes_on_and_its_own_exit_status_is_reported(
    server: PrivateBatch, owner: User, directory: Path
) -> None:
    job = server.start_job(owner, owner.script(count_script(60), directory), *server.holdable)
    server.wait_for_line(job, 5)
    server.hold(job, owner)
    assert "line 60\n" not in server.written(job)
    assert server.processes(owner) == []
    assert [row["whole"] for row in server.images(job)] == [True]

    server.release(job, owner)
    assert server.wait_for_exit(job) == "7"
    assert server.delivered(job, directory) == (lines(60), "")


def test_a_restored_job_that_is_deleted_leaves_no_process_and_can_be_resumed(
    server: PrivateBatch, owner: User, directory: Path
) -> None:
    job = server.start_job(owner, owner.script(count_script(200), directory), *server.holdable)
    server.wait_for_line(job, 5)
    server.hold(job, owner)
    server.release(job, owner)
    server.wait_until_restarted(job)
    server.wait_for_line(job, 20)
    server.check("qdel", job, user=owner)
    server.wait(lambda: not server.processes(owner), "the end of all processes")
    server.wait_for_state(job, server.ended_state)
    assert [row["whole"] for row in server.images(job)] == [True]

    resumed = server.resume(job, owner, directory)
    assert server.wait_for_exit(resumed, 90) == "7"
    assert server.delivered(resumed, directory) == (lines(200), "")


def test_a_held_job_that_is_deleted_goes_on_as_a_new_job(
    server: PrivateBatch, owner: User, directory: Path
) -> None:
    job = server.start_job(owner, owner.script(count_script(40), directory), *server.holdable)
    server.wait_for_line(job, 5)
    server.hold(job, owner)
    server.check("qdel", job, user=owner)
    server.wait(lambda: server.state(job) in (server.ended_state, ""), "the job's end")
    resumed = server.resume(job, owner, directory)
    assert server.wait_for_exit(resumed) == "7"
    assert server.delivered(resumed, directory) == (lines(40), "")
