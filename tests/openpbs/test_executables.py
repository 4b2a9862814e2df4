# SPDX-License-Identifier: MIT
"""qsub -- program: the session leader is the job itself, no shell that reads MOM's pipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.openpbs.private import LIMITS, PrivateOpenPBS
from tests.support import User, count_script, lines

_PYTHON = """
import os, sys, time
for i in range(1, 121):
    print("line", i, flush=True)
    time.sleep(0.1)
os._exit(7)
"""
_SHELL = "i=0; while [ $i -lt 120 ]; do i=$((i + 1)); echo line $i; sleep 0.1; done; exit 7"


def start(openpbs: PrivateOpenPBS, owner: User, directory: Path, *words: str) -> str:
    done = openpbs.run(
        "qsub", "-f", *LIMITS, "-N", "run_job.sh", "--", *words, user=owner, directory=directory
    )
    assert done.returncode == 0, done.stderr
    job = str(done.stdout.strip())
    openpbs.wait_until_running(job)
    return job


def commands(owner: User, directory: Path) -> dict[str, tuple[str, ...]]:
    script = owner.script(count_script(120), directory, "count")
    script.chmod(0o755)
    program = owner.script(_PYTHON, directory, "x.py")
    return {
        "sh -c": ("/bin/sh", "-c", _SHELL),
        "bash -l script": ("/bin/bash", "-l", str(script)),
        "script": (str(script),),
        "python": ("/usr/bin/python3", str(program)),
    }


@pytest.mark.parametrize("which", ["sh -c", "bash -l script", "script", "python"])
def test_it_is_held_and_goes_on(
    openpbs: PrivateOpenPBS, owner: User, directory: Path, which: str
) -> None:
    job = start(openpbs, owner, directory, *commands(owner, directory)[which])
    openpbs.wait_for_line(job, 10)
    openpbs.hold(job, owner)
    openpbs.release(job, owner)
    openpbs.wait_until_restarted(job)
    openpbs.hold(job, owner)
    openpbs.release(job, owner)
    openpbs.wait_until_restarted(job)
    assert openpbs.wait_for_state(job, "F", 60)["Exit_status"] == "7"
    assert openpbs.delivered(job, directory) == (lines(120), "")
