# SPDX-License-Identifier: MIT
"""make soak: one job, thousands of checkpoints; nothing grows, and it goes on from the last."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.aftermath import hook, images_whole, nothing_left
from tests.faults.conftest import Faulty
from tests.faults.test_killed_checkpoint import sessions
from tests.support import Site, User

TIMES = int(os.environ.get("TIMES", "2000"))
_SETTLED = 20  # checkpoints after which nothing may grow any more


def test_thousands_of_checkpoints_of_one_job(
    site: Site, user: User, jobs: Faulty, counted: Callable[..., None]
) -> None:
    running = jobs.start()
    mom, tree = running.process.pid, running.exec_pid()
    walls, frozen, files, memory = [], [], [], []
    for n in range(TIMES):
        began = time.monotonic()
        answer = hook(running, f"n{n}")
        walls.append((time.monotonic() - began) * 1000)
        assert answer.returncode == 0, f"checkpoint {n}: {answer.stderr}"
        if n >= _SETTLED and n % max(TIMES // 100, 1) == 0:
            row = site.rows(running.job)[-1]
            frozen.append(row["frozen_ms"])
            files.append(sum(len(names) for _, _, names in os.walk(site.store)))
            memory.append((resident_kib(mom), resident_kib(tree)))
    assert images_whole(site, running) == 3
    nothing_left(site, user, sessions(site))
    # A moment between two programs of the job is an image with fewer files.
    assert abs(statistics.median(files[-20:]) - statistics.median(files[:20])) <= 12, files
    for process in (0, 1):
        kib = [each[process] for each in memory]
        assert statistics.median(kib[-20:]) - statistics.median(kib[:20]) <= 256, kib
    running.crash()
    jobs.ends_well(jobs.resume(running))
    grew = memory[-1][0] - memory[0][0]
    counted(
        "one job checkpointed again and again, depth 3, then crashed and resumed",
        TIMES,
        f"wall median {statistics.median(walls):.0f} ms, 99 % within {_percentile(walls):.0f} ms; "
        f"frozen median {statistics.median(frozen):.0f} ms; files in the store {min(files)} to "
        f"{max(files)}; memory of the MOM {grew:+d} KiB",
        command="make soak" if TIMES == 2000 else f"make soak TIMES={TIMES}",
    )


def resident_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError(f"{pid} has ended")


def _percentile(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]
