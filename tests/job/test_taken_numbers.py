# SPDX-License-Identifier: MIT
"""A number that the image needs, and another program has for a while."""

from __future__ import annotations

import os
from contextlib import ExitStack

from tests.job.file_jobs import crashed_at, python, started
from tests.support import Site, User, lines, wait_until

_PROGRAM = python(
    "master, slave = os.openpty()\n"
    "for i in steps():\n"
    "    os.write(master, b'line\\n')\n"
    "    assert os.read(slave, 9) == b'line\\n'\n"
    "    with open('terminal', 'w') as told:\n"
    "        told.write(os.ttyname(slave))\n"
)


def _hold_until(stack: ExitStack, name: str) -> None:
    """Open terminals until all numbers up to that one are in use."""
    while not os.path.exists(name):
        for end in os.openpty():
            stack.callback(os.close, end)


def test_a_terminal_whose_number_is_taken_comes_back_with_another(site: Site, user: User) -> None:
    running = started(site, user, _PROGRAM, pause=0.2)
    crashed_at(running, 5, 8)
    name = (running.directory / "data" / "terminal").read_text()
    wait_until(lambda: not os.path.exists(name))
    with ExitStack() as held:
        _hold_until(held, name)
        again = site.resume(user, running.job, running.directory)
        assert again.wait() == 0, again.err()
    assert again.out() == lines(60)
    now = (running.directory / "data" / "terminal").read_text()
    assert now.startswith("/dev/pts/") and now != name


def test_a_terminal_far_above_the_lowest_free_number_comes_back(site: Site, user: User) -> None:
    """CRIU opens 32 terminals at most to get the one that it wants."""
    with ExitStack() as held:
        for _ in range(50):
            for end in os.openpty():
                held.callback(os.close, end)
        running = started(site, user, _PROGRAM, pause=0.2)
        crashed_at(running, 5, 8)
    again = site.resume(user, running.job, running.directory)
    assert again.wait() == 0, again.err()
    assert again.out() == lines(60)
