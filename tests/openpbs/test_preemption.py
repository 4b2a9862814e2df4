# SPDX-License-Identifier: MIT
"""Preemption by checkpoint: a job makes room for a more urgent one, and goes on from its image."""

from __future__ import annotations

from pathlib import Path

from tests.openpbs.private import PrivateOpenPBS
from tests.support import User, count_script, lines


def test_a_preempted_job_goes_on_from_its_image(
    openpbs: PrivateOpenPBS, owner: User, directory: Path
) -> None:
    for line in (
        'set sched preempt_order = "C"',
        "create queue urgent queue_type=execution,priority=200,enabled=true,started=true",
        "set queue urgent resources_default.walltime = 04:00:00",
    ):
        openpbs.check("qmgr", "-c", line)
    try:
        cores = openpbs.check("pbsnodes", "-a").partition("resources_available.ncpus = ")[2]
        all_of_it = ("-l", f"ncpus={cores.split()[0]}")
        script = owner.script(count_script(200), directory)
        job = openpbs.start_job(owner, script, *all_of_it)
        openpbs.wait_for_line(job, 20)
        urgent = openpbs.submit(owner, script, "-q", "urgent", "-N", "urgent", *all_of_it)
        openpbs.wait(lambda: openpbs.state(urgent) == "R", "the urgent one", 60, openpbs.mom_log)
        assert openpbs.newest(job) == 1
        assert openpbs.wait_for_state(urgent, "F", 90)["Exit_status"] == "7"
        assert openpbs.wait_for_state(job, "F", 120)["Exit_status"] == "7"
        assert openpbs.delivered(job, directory) == (lines(200), "")
    finally:
        openpbs.check("qmgr", "-c", "set sched preempt_order = SCR")
        openpbs.check("qmgr", "-c", "delete queue urgent")
