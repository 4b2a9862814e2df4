# SPDX-License-Identifier: MIT
"""`resume-job --submit` where a site's hook adds to what users ask for."""

from __future__ import annotations

from pathlib import Path

from tests.openpbs.private import PrivateOpenPBS
from tests.support import User, count_script, lines

_HOOK = """import pbs
event = pbs.event()
asked = event.job.Resource_List["software"]
if asked is not None:
    event.reject("software is for the site to say")
event.job.Resource_List["software"] = pbs.software("the-sites")
"""


def test_what_a_hook_has_added_is_left_to_it(
    openpbs: PrivateOpenPBS, owner: User, directory: Path
) -> None:
    """It refuses jobs that ask for it themselves."""
    hook = directory / "hook.py"
    hook.write_text(_HOOK)
    openpbs.check("qmgr", "-c", "create hook site event=queuejob")
    try:
        openpbs.check("qmgr", "-c", f"import hook site application/x-python default {hook}")
        script = owner.script(count_script(250), directory)
        job = openpbs.start_job(owner, script, *openpbs.checkpointable, "-P", "proj7")
        assert openpbs.full_status(job)["Resource_List.software"] == "the-sites"
        openpbs.wait_for_line(job, 10)
        openpbs.take_image(job, owner)
        openpbs.check("qdel", job)
        openpbs.wait_for_end(job)
        text = openpbs.check(openpbs.torqueckpt, "resume-job", job, user=owner)
        assert "# Not asked for again: -l software=the-sites" in text
        new = openpbs.check(openpbs.torqueckpt, "resume-job", job, "--submit", user=owner).strip()
        openpbs.wait_until_running(new)
        status = openpbs.full_status(new)
        assert (status["project"], status["Resource_List.software"]) == ("proj7", "the-sites")
        assert "Account_Name" not in status
        assert openpbs.wait_for_exit(new) == "7"
        assert openpbs.delivered(new, directory)[0] == lines(250)
    finally:
        openpbs.check("qmgr", "-c", "delete hook site")
