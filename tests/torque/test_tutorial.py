# SPDX-License-Identifier: MIT
"""What docs/tutorial.md has users of TORQUE type after a crash of the node, typed by one."""

from __future__ import annotations

import shlex
from pathlib import Path

from tests import pages
from tests.support import User, count_script, lines
from tests.torque.private import PrivateTorque

_PAGE = pages.TOP / "docs" / "tutorial.md"


def test_the_tutorial_on_torque_after_a_crash(
    torque: PrivateTorque, owner: User, directory: Path
) -> None:
    *_, after_a_crash = pages.fenced(pages.section(_PAGE, "On TORQUE"))
    script = owner.script(count_script(120, 0.05), directory)
    job = torque.start_job(owner, script, "-c", "c=10")
    torque.wait_for_line(job, 3)
    torque.take_image(job, owner)
    torque.end(job)

    def type_(line: str) -> str:
        words = shlex.split(line.replace("12.server", job))
        program = torque.torqueckpt if words[0] == "torqueckpt" else words[0]
        done = torque.run(program, *words[1:], user=owner, directory=directory)
        assert done.returncode == 0, (line, done.stderr)
        return done.stdout.strip()

    write, again = after_a_crash.splitlines()
    type_(write)
    resumed = type_(again)
    torque.wait_until_running(resumed)
    assert torque.wait_for_exit(resumed) == "7"
    assert torque.delivered(resumed, directory)[0] == lines(120)
