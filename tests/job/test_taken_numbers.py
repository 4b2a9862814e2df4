# SPDX-License-Identifier: MIT
"""A number that the image needs, and another program has for a while."""

from __future__ import annotations

import os
from contextlib import ExitStack

from tests.job.file_jobs import crashed_at, python, started
from tests.support import Site, User, lines, wait_until

_PROGRAM = python(
    "master, slave = os.openpty()\n"
    "open('terminal', 'w').write(os.ttyname(slave))\n"
    "for i in steps(): pass\n"
)


def _hold_until(stack: ExitStack, name: str) -> None:
    """Open terminals until all numbers up to that one are in use."""
    while not os.path.exists(name):
        for end in os.openpty():
            stack.callback(os.close, end)


def test_a_restart_waits_for_the_number_of_its_terminal(site: Site, user: User) -> None:
    running = started(site, user, _PROGRAM, pause=0.2)
    crashed_at(running, 5, 8)
    name = (running.directory / "data" / "terminal").read_text()
    wait_until(lambda: not os.path.exists(name))
    with ExitStack() as held:
        _hold_until(held, name)
        again = site.resume(user, running.job, running.directory)
        said = site.lineage(running.job) / "1" / "work" / "restore.log"
        wait_until(lambda: "with specified index" in said.read_text())
    assert again.wait() == 0, again.err()
    assert again.out() == lines(60)
