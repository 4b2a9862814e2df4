# SPDX-License-Identifier: MIT
"""What docs/tutorial.md has users of TORQUE type, typed by one."""

from __future__ import annotations

import shlex
from pathlib import Path

from tests import pages
from tests.support import User, count_script, lines
from tests.torque.private import PrivateTorque

_PAGE = pages.TOP / "docs" / "tutorial.md"


def test_the_tutorial_on_torque(torque: PrivateTorque, owner: User, directory: Path) -> None:
    *_, typed, after_a_crash = pages.fenced(pages.section(_PAGE, "On TORQUE"))
    owner.script(count_script(120, 0.05), directory)
    job = ""

    def type_(line: str) -> str:
        words = shlex.split(line.replace("12.server", job))
        program = torque.torqueckpt if words[0] == "torqueckpt" else words[0]
        done = torque.run(program, *words[1:], user=owner, directory=directory)
        assert done.returncode == 0, (line, done.stderr)
        return done.stdout.strip()

    submit, checkpoint, hold, release = typed.splitlines()
    job = type_(submit)
    torque.wait_until_running(job)
    torque.wait_for_line(job, 3)
    type_(checkpoint)
    torque.wait_for_image(job, 0)
    type_(hold)
    torque.wait_for_state(job, "H")
    assert torque.processes(owner) == []
    assert release == "qrls 12.server"
    torque.release(job, owner)  # 4.2.10 wants more than that: docs/torque.md
    torque.wait_until_running(job)
    torque.end(job)

    write, again = after_a_crash.splitlines()
    type_(write)
    job = type_(again)
    torque.wait_until_running(job)
    assert torque.wait_for_state(job, "C", 60)["exit_status"] == "7"
    assert torque.delivered(job, directory)[0] == lines(120)
