# SPDX-License-Identifier: MIT
"""Many hooks of one job at once, and some of them are killed."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable

import pytest

from tests.faults import strace
from tests.faults.aftermath import hook, images_whole, nothing_left, runs_untouched
from tests.faults.conftest import Faulty
from tests.faults.test_killed_checkpoint import sessions
from tests.support import Site, User


@pytest.mark.parametrize("count", [2, strace.most(10, 50)])
def test_hooks_at_once_of_which_every_other_one_is_killed(
    site: Site, user: User, jobs: Faulty, counted: Callable[..., None], count: int
) -> None:
    chance = random.Random(count)
    running = jobs.start()
    tree = running.exec_pid()
    began = time.monotonic()
    calls = [
        subprocess.Popen(running.hook_argv(name=f"n{n}", depth="99"), stderr=subprocess.PIPE)
        for n in range(count)
    ]
    for each in calls[1::2]:
        time.sleep(chance.uniform(0, 0.3))
        each.kill()
    told = [each.communicate()[1] for each in calls]
    took = time.monotonic() - began
    assert [each.returncode for each in calls[::2]] == [0] * (count // 2), told
    runs_untouched(running, tree)
    images_whole(site, running, at_least=count // 2)
    assert hook(running, "afterwards", depth="99").returncode == 0
    nothing_left(site, user, sessions(site))
    running.crash()
    jobs.ends_well(jobs.resume(running))
    counted(f"{count} hooks at once, every other one killed", count, f"{took:.1f} s for all")
