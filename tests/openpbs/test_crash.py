# SPDX-License-Identifier: MIT
"""MOM and job die together, and MOM restarts the job when it is back."""

from __future__ import annotations

from pathlib import Path

from tests.openpbs.private import PrivateOpenPBS
from tests.support import User, count_script, lines


def test_a_job_with_a_periodic_image_goes_on_by_itself_after_a_crash(
    openpbs: PrivateOpenPBS, owner: User, directory: Path
) -> None:
    job = openpbs.start_job(owner, owner.script(count_script(150), directory), "-c", "w=1")
    openpbs.wait_for_image(job, 0)
    written = openpbs.written(job)
    openpbs.wait(lambda: len(openpbs.written(job)) > len(written), "more than the image has")
    openpbs.crash(owner)
    openpbs.start_mom()
    openpbs.wait_until_restarted(job)
    status = openpbs.wait_for_state(job, "F", 90)
    assert status["Exit_status"] == "7"
    assert openpbs.delivered(job, directory) == (lines(150), "")
