# SPDX-License-Identifier: MIT
"""The node goes down: every job that can be is checkpointed."""

from __future__ import annotations

from pathlib import Path

from tests.batch.private import PrivateBatch
from tests.support import User, count_script, lines


def test_the_shutdown_unit_takes_an_image_of_all_but_those_that_want_none(
    server: PrivateBatch, owner: User, directory: Path
) -> None:
    script = owner.script(count_script(300), directory)
    *can, never = [
        server.start_job(owner, script, "-l", server.small_request, *options)
        for options in (*server.saved_at_shutdown, ("-c", "n"))
    ]
    for job in (*can, never):
        server.wait_for_line(job, 3)
    told = server.check(server.torqueckpt, "periodic", "--shutdown").split()
    assert sorted(told) == sorted(can)
    for job in can:
        assert [row["whole"] for row in server.images(job)] == [True]
    assert server.images(never) == []
    assert {server.state(job) for job in (*can, never)} == {"R"}
    for job in (*can, never):
        assert server.wait_for_exit(job) == "7"
        assert server.delivered(job, directory) == (lines(300), "")
