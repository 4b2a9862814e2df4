# SPDX-License-Identifier: MIT
"""Periodic checkpoints: MOM's own, and the service beside them."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.batch.private import LONG
from tests.openpbs.private import PrivateOpenPBS
from tests.support import User, count_script, lines

BURN = "#!/bin/sh\npython3 -c 'while True: pass'\n"


def taken_by_mom(openpbs: PrivateOpenPBS, job: str) -> int:
    """MOM's own calls that succeeded."""
    return len(re.findall(rf"{job};checkpoint script .*: exit code 0", openpbs.mom_log()))


def images_made(openpbs: PrivateOpenPBS, owner: User, job: str) -> int:
    events = openpbs.journal(owner)
    return sum(e["event"] == "checkpoint" and e["job"] == job for e in events)


def test_mom_takes_an_image_each_minute_of_walltime_and_the_service_none(
    openpbs: PrivateOpenPBS, owner: User, directory: Path
) -> None:
    with openpbs.periodic():
        script = owner.script(count_script(200), directory)
        job = openpbs.start_job(owner, script, "-c", "w=1")
        openpbs.wait_for_image(job, 1)
        assert images_made(openpbs, owner, job) == taken_by_mom(openpbs, job) == 2


def test_mom_takes_an_image_each_minute_of_cpu_time(
    openpbs: PrivateOpenPBS, owner: User, directory: Path
) -> None:
    job = openpbs.start_job(owner, owner.script(BURN, directory), "-c", "c=1")
    openpbs.wait_for_image(job, 0)
    assert openpbs.newest(job) == taken_by_mom(openpbs, job) == 1


@pytest.mark.skipif(not LONG, reason="takes six minutes: TORQUECKPT_LONG=1")
def test_in_real_minutes_mom_goes_on_once_the_job_was_restarted_and_the_service_takes_none(
    openpbs: PrivateOpenPBS, owner: User, directory: Path
) -> None:
    with openpbs.real_minutes(), openpbs.periodic():
        script = owner.script(count_script(300, pause=1), directory)
        job = openpbs.start_job(owner, script, "-c", "w=1")
        started = time.time()
        openpbs.wait_for_image(job, 2, seconds=220)
        made = [e["time"] for e in openpbs.journal(owner) if e.get("job") == job]
        assert [round((at - started) / 60) for at in made] == [1, 2, 3]
        assert taken_by_mom(openpbs, job) == 3, openpbs.mom_log()[-4000:]
        openpbs.hold(job, owner)
        openpbs.release(job, owner)
        openpbs.wait_until_restarted(job)
        openpbs.wait(lambda: taken_by_mom(openpbs, job) == 4, "MOM's one more", 100)
        assert openpbs.newest(job) == 5
        assert openpbs.wait_for_state(job, "F", 200)["Exit_status"] == "7"
        assert openpbs.delivered(job, directory) == (lines(300), "")
