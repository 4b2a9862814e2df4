# SPDX-License-Identifier: MIT
"""Programs of many processes, unmodified, with two crashes each: the same bytes as without any.

After the second crash the node boots, which empties /tmp and /dev/shm.
"""

from __future__ import annotations

from functools import partial

import pytest

from tests.boot import boot
from tests.job.file_jobs import checkpoint, hashes, started, uninterrupted
from tests.job.parallel_programs import LAST, PROGRAMS
from tests.support import Running, Site, User, is_there, kill, lines


def _imaged_and_killed(running: Running, name: str) -> None:
    """Take an image, let it do some more, and kill its MOM."""
    running.wait_for_line(3)
    checkpoint(running, name)
    reached = running.spooled().count("line ")
    running.wait_for_line(min(reached + 2, LAST - 1))
    kill(running.process.pid)
    running.process.wait()


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_of_many_processes_gives_the_same_bytes_after_two_crashes(
    site: Site, user: User, name: str
) -> None:
    program = PROGRAMS[name]
    lacking = [each for each in program.needs if not is_there(each)]
    if lacking:
        pytest.skip(f"not installed: {', '.join(lacking)}")
    wanted = uninterrupted(user, program.text)
    running = first = started(site, user, program.text)
    for number, crash in (("one", user.kill_all), ("two", partial(boot, user))):
        _imaged_and_killed(running, number)
        crash()
        running = site.resume(user, running.job, first.directory)
        site.wait_for_restart(running)
    assert running.wait() == 0, running.err()
    assert hashes(first.directory) == wanted
    assert running.out() == lines(LAST)
