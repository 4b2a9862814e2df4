# SPDX-License-Identifier: MIT
"""Members of arrays, of which OpenPBS's MOM takes no image and which qhold refuses."""

from __future__ import annotations

from pathlib import Path

from tests.openpbs.private import PrivateOpenPBS
from tests.support import User, count_script

_ARRAY = ("-J", "1-2", "-l", "ncpus=0")


def members(openpbs: PrivateOpenPBS, owner: User, script: Path, *options: str) -> list[str]:
    """Both running."""
    array = openpbs.submit(owner, script, *_ARRAY, *options)
    found = [array.replace("[]", f"[{index}]") for index in (1, 2)]
    for job in found:
        openpbs.wait(
            lambda job=job: openpbs.full_status(job).get("session_id"),
            f"{job}'s session",
            60,
            lambda: openpbs.check("qstat", "-t"),
        )
    return found


def test_members_are_saved_when_the_node_goes_down(
    openpbs: PrivateOpenPBS, owner: User, directory: Path
) -> None:
    jobs = members(openpbs, owner, owner.script(count_script(200), directory))
    told = openpbs.check(openpbs.torqueckpt, "periodic", "--shutdown").split()
    assert sorted(told) == jobs
    assert [openpbs.newest(job) for job in jobs] == [1, 1]
