# SPDX-License-Identifier: MIT
"""Compressed images: jobs go on from them, and nothing of them is written unpacked."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.job.test_images import flip, truncate
from tests.support import Running, Site, User, lines, wait_until

# Memory of two processes, some of it shared, of which every byte is looked at in the end.
_JOB = """#!/bin/sh
exec python3 - <<'PROGRAM'
import hashlib, mmap, os, sys, time
shared = mmap.mmap(-1, 1 << 20)
shared[:] = bytes(range(256)) * 4096
mine = bytearray(os.urandom(1 << 20) + bytes(24 << 20))
child = os.fork()
mine[5 << 20 : (5 << 20) + 9] = b"child    " if child == 0 else b"of parent"
sums = hashlib.sha256(mine).digest(), hashlib.sha256(shared).digest()
i = 0
while not os.path.exists("stop"):
    i += 1
    if child:
        print("line", i, flush=True)
    time.sleep(0.1)
same = sums == (hashlib.sha256(mine).digest(), hashlib.sha256(shared).digest())
if child == 0:
    os._exit(0 if same else 1)
sys.exit(7 if same and os.waitpid(child, 0)[1] == 0 else 1)
PROGRAM
"""


@pytest.fixture
def running(site: Site, user: User) -> Running:
    """A job of two processes whose images are compressed; one is there."""
    site.configure(compress="on")
    started = site.start(user, user.script(_JOB, user.directory()), "-c", "enabled")
    started.wait_for_line(2)
    checkpoint(started, "first")
    return started


def checkpoint(running: Running, name: str) -> None:
    assert subprocess.run(running.hook_argv(name=name)).returncode == 0


def image(site: Site, running: Running) -> Path:
    lineage = site.lineage(running.job)
    return lineage / str(site.rows(running.job)[-1]["generation"]) / "image"


def goes_on(site: Site, user: User, running: Running) -> None:
    """As a new job, from its newest image to its end."""
    resumed = site.resume(user, running.job, running.directory)
    reached = wait_until(lambda: resumed.spooled().count("\n"))
    wait_until(lambda: resumed.spooled().count("\n") > reached)
    ends_well(resumed)


def ends_well(running: Running) -> None:
    (running.directory / "stop").touch()
    assert running.wait() == 7, running.err()
    out = running.out()
    assert out == lines(out.count("\n"))


def test_a_crashed_job_goes_on_from_a_compressed_image(
    site: Site, user: User, running: Running
) -> None:
    names = [file.name for file in image(site, running).iterdir()]
    assert len([name for name in names if name.endswith(".zst")]) >= 2
    assert [name for name in names if name.startswith("pages-")] == [
        name for name in names if name.endswith(".zst")
    ]
    assert site.rows(running.job)[-1]["bytes"] < 8 << 20  # of more than 50 MiB in memory
    assert site.call(user, "verify", running.job).returncode == 0
    running.crash()
    goes_on(site, user, running)
    assert not list(site.store.rglob("pages-*.img"))
    assert user.views() == []


def test_a_held_job_is_released_from_a_compressed_image_twice(
    site: Site, user: User, running: Running
) -> None:
    for _ in range(2):
        assert site.call(user, "hold", running.job).returncode == 0
        user.has_none()
        assert site.call(user, "release", running.job).returncode == 0
        reached = wait_until(lambda: running.spooled().count("\n"))
        wait_until(lambda reached=reached: running.spooled().count("\n") > reached)
    ends_well(running)


def test_images_of_both_kinds_serve_one_lineage(site: Site, user: User, running: Running) -> None:
    site.configure(compress="off")
    checkpoint(running, "second")
    assert not list(image(site, running).glob("*.zst"))
    running.crash()
    resumed = site.resume(user, running.job, running.directory, "--generation", "1")
    reached = wait_until(lambda: resumed.spooled().count("\n"))
    wait_until(lambda: resumed.spooled().count("\n") > reached)
    site.configure(compress="on")
    checkpoint(resumed, "third")
    assert list(image(site, resumed).glob("*.zst"))
    resumed.crash()
    goes_on(site, user, resumed)


@pytest.mark.parametrize("harm", [truncate, flip, Path.unlink], ids=lambda h: h.__name__)
def test_a_damaged_compressed_image_is_passed_over_for_the_one_before(
    site: Site, user: User, running: Running, harm
) -> None:
    checkpoint(running, "second")
    running.crash()
    for file in image(site, running).glob("*.zst"):
        harm(file)
    goes_on(site, user, running)


def test_the_environment_in_a_compressed_image_is_shown(
    site: Site, user: User, running: Running
) -> None:
    shown = site.call(user, "show", running.job, "--environment")
    assert f"PBS_JOBID={running.job}\n" in shown.stdout


@pytest.fixture
def store_of_its_own(site: Site) -> Iterator[None]:
    """How much room there is depends on nobody else."""
    words = ("-t", "tmpfs", "-o", "size=2G,mode=755", "tmpfs", site.store)
    subprocess.run(["/bin/mount", *words], check=True)
    (site.store / "jobs").mkdir()
    yield
    subprocess.run(["/bin/umount", "--lazy", site.store], check=True)


@pytest.mark.usefixtures("store_of_its_own")
@pytest.mark.parametrize(("reserve_mib", "packed"), [(0, False), (None, True)])
def test_images_are_compressed_where_the_store_runs_out_of_room(
    site: Site, user: User, running: Running, reserve_mib: int | None, packed: bool
) -> None:
    if reserve_mib is None:  # room for the next one, and not for three more
        answer = subprocess.run(["df", "-m", "--output=avail", site.store], capture_output=True)
        reserve_mib = int(answer.stdout.split()[-1]) - 120
    site.configure(compress="space", reserve_mib=reserve_mib)
    checkpoint(running, "second")
    assert bool(list(image(site, running).glob("*.zst"))) is packed
    running.crash()
    site.configure(compress="off")
    goes_on(site, user, running)
