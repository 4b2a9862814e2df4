# SPDX-License-Identifier: MIT
"""The server goes down: every job that can be is checkpointed."""

from __future__ import annotations

from pathlib import Path

from tests.openpbs.private import PrivateOpenPBS
from tests.support import User, count_script, lines


def three_jobs(openpbs: PrivateOpenPBS, owner: User, directory: Path) -> list[str]:
    """-c s, nothing said, -c n."""
    script = owner.script(count_script(60), directory)
    jobs = [
        openpbs.submit(owner, script, "-l", "ncpus=0", *options)
        for options in (("-c", "s"), (), ("-c", "n"))
    ]
    for job in jobs:
        openpbs.wait_until_running(job)
        openpbs.wait_for_line(job, 3)
    return jobs


def test_jobs_go_on_when_the_server_is_there_again(
    openpbs: PrivateOpenPBS, owner: User, directory: Path
) -> None:
    asked, silent, never = three_jobs(openpbs, owner, directory)
    openpbs.check("qterm", "-t", "immediate")
    openpbs.wait(lambda: openpbs.run("qstat", "-B").returncode != 0, "the server's end")
    assert [openpbs.newest(job) for job in (asked, silent, never)] == [1, 1, 0]
    openpbs.start_server()
    for job in (asked, silent):
        status = openpbs.wait_for_end(job)
        assert status["Exit_status"] == "7"
        assert openpbs.delivered(job, directory) == (lines(60), "")
