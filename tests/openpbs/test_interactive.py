# SPDX-License-Identifier: MIT
"""qsub -I: a terminal that is somebody's cannot be saved."""

from __future__ import annotations

import os
import pty
from subprocess import Popen

from tests.openpbs.private import PrivateOpenPBS
from tests.support import User


def test_a_hold_is_refused_and_the_session_goes_on(openpbs: PrivateOpenPBS, owner: User) -> None:
    ours, theirs = pty.openpty()
    argv = openpbs.argv("qsub", "-I", "-l", "walltime=04:00:00", user=owner)
    with Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as running:
        os.close(theirs)
        told = b""
        while b"ready" not in told:
            told += os.read(ours, 1000)
        (job,) = openpbs.run("qselect").stdout.split()
        openpbs.wait(lambda: openpbs.full_status(job).get("substate") == "42", "it runs", 60)
        done = openpbs.run("qhold", job, user=owner)
        assert done.returncode != 0 and "15061" in done.stderr
        assert "interactive" in openpbs.full_status(job)["comment"]
        assert openpbs.images(job) == []
        os.write(ours, b"echo still $((40 + 2))\nexit\n")
        told = b""
        while b"still 42" not in told:
            told += os.read(ours, 1000)
        openpbs.wait_for_state(job, "F", 60)
        running.wait(60)
