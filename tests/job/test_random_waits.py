# SPDX-License-Identifier: MIT
"""A job that polls, sleeps and waits for signals feels none of its checkpoints.

With TORQUECKPT_LONG=1 it does so for an hour, with one each ten seconds.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.batch.private import LONG
from tests.support import Running, Site, User

_SOURCE = Path(__file__).with_name("random_waits.c")
_CHECKPOINTS, _EACH = (360, "10s") if LONG else (5, "2s")
_MORE_MS = 2000  # a busy machine's: a wait that begins anew is later by far more, if not each


@pytest.fixture
def program() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="tckpt-", dir="/var/tmp"))
    place.chmod(0o755)
    compiler, made = shutil.which("cc"), place / "random_waits"
    assert compiler is not None
    subprocess.run([compiler, "-Wall", "-pthread", "-o", made, _SOURCE], check=True)
    yield made
    shutil.rmtree(place)


def test_a_job_that_waits_in_each_way_for_random_times_feels_no_checkpoint(
    site: Site, user: User, program: Path
) -> None:
    stop = user.directory() / "stop"

    def start(*options: str) -> Running:
        script = f"#!/bin/sh\n{program} {time.time_ns() % 1000} {stop}\n"
        return site.start(user, user.script(script, user.directory()), *options)

    job, beside = start("-c", f"c={_EACH}"), start()
    site.wait_for_images(job.job)
    for _ in range(_CHECKPOINTS - 1):
        site.wait_for_newer(job.job, max(site.generations(job.job)))
    longest = max(row["frozen_ms"] for row in site.rows(job.job))
    stop.touch()
    assert (job.wait_as_it_is(), beside.wait_as_it_is()) == (0, 0)
    found, usual = json.loads(job.out()), json.loads(beside.out())
    told = job.err()
    assert (found["interrupted"], found["failed"], found["early"]) == (0, 0, 0), told
    assert (found["got"], found["hung"]) == (found["sent"], 0), told
    assert found["latest_ms"] < usual["latest_ms"] + longest + _MORE_MS, told
