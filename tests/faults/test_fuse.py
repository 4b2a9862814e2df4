# SPDX-License-Identifier: MIT
"""A store on a file system that answers EIO, or slowly: a FUSE of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.faults.aftermath import hook, images_whole, runs_untouched
from tests.faults.conftest import Faulty, no_fuse
from tests.faults.strace import all_steps
from tests.faults.test_disk import goes_on, unmounted
from tests.support import REPOSITORY, Site, User, lines, wait_until

WRITING = ("create", "write", "fsync", "fsyncdir", "flush", "rename", "mkdir")
REMOVING = ("unlink", "rmdir")
READING = ("open", "read", "readdir")
SOME = ("write", "rename", "unlink", "read")
Orders = Callable[[str], None]


@pytest.fixture
def told(site: Site) -> Iterator[Orders]:
    """The store's file system does as it is told."""
    if no_fuse():
        pytest.skip(no_fuse())
    under, place, orders = (site.root / name for name in ("under", "fuse", "orders"))
    for directory in (under, place):
        directory.mkdir(mode=0o755)
    orders.touch()
    words = [sys.executable, "-m", "tests.faults.faulty_fs", under, place, orders]
    with subprocess.Popen(words, cwd=REPOSITORY, stdout=subprocess.DEVNULL) as server:
        wait_until(lambda: os.path.ismount(place))
        (place / "jobs").mkdir()
        site.other_store = place
        site.configure(reserve_mib=1)

        def tell(order: str) -> None:
            scratch = orders.with_suffix(".new")
            scratch.write_text(order)
            scratch.rename(orders)

        yield tell
        tell("")
        unmounted(place)
        server.kill()  # also where somebody's mount namespace still has it


@pytest.mark.parametrize("call", [*WRITING, *REMOVING, *READING] if all_steps() else SOME)
def test_a_store_whose_calls_fail_costs_the_checkpoint_and_no_more(
    site: Site, user: User, jobs: Faulty, told: Orders, counted: Callable[..., None], call: str
) -> None:
    running = jobs.start()
    tree = running.exec_pid()
    for name in ("first", "second", "third"):  # then an old one is removed each time
        assert hook(running, name).returncode == 0
    failed = 0
    for step in range(1, 200) if all_steps() else (1, 9):
        told(f"{call} EIO {step}")
        answer = hook(running, f"fails-{step}")
        told("")
        runs_untouched(running, tree)
        images_whole(site, running)
        if answer.returncode == 0 and call not in REMOVING:
            break  # it has not so many of these calls
        failed += 1
        assert len(answer.stderr.splitlines()) <= 1, answer.stderr
        if call in REMOVING and step == 5:
            break
    assert failed
    goes_on(site, user, jobs, running, tree)
    counted(f"EIO from a store on FUSE, from a certain `{call}` on", failed)


@pytest.mark.parametrize("call", READING)
def test_a_store_that_cannot_be_read_costs_the_restart_and_no_more(
    site: Site, user: User, jobs: Faulty, told: Orders, counted: Callable[..., None], call: str
) -> None:
    running = jobs.start()
    assert hook(running, "first").returncode == 0
    running.crash()
    (running.directory / "stop").touch()
    script = user.script(f"exec {site.program} resume {running.job}\n", running.directory)
    failed = 0
    for step in range(1, 200) if all_steps() else (1, 9):
        told(f"{call} EIO {step}")
        again = site.start(user, script)
        status = again.wait()
        told("")
        if status == 7:  # it has not so many of these calls
            break
        assert status == 125, again.err()
        images_whole(site, running)
        failed += 1
    if status != 7:
        again = jobs.site.resume(user, running.job, running.directory)
        assert again.wait() == 7, again.err()
    assert again.out() == lines(again.out().count("\n"))
    counted(f"EIO from a store on FUSE, from a certain `{call}` of a restart on", failed)


def test_a_store_that_takes_its_time_holds_the_hook_up_but_not_the_job(
    site: Site, user: User, jobs: Faulty, told: Orders, counted: Callable[..., None]
) -> None:
    running = jobs.start()
    tree = running.exec_pid()
    told("slow 5")
    assert hook(running, "slow").returncode == 0
    told("")
    frozen = site.rows(running.job)[-1]["frozen_ms"]
    goes_on(site, user, jobs, running, tree)
    counted("a store on FUSE of which each call takes 5 ms more", 1, f"job frozen {frozen} ms")
