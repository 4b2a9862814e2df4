# SPDX-License-Identifier: MIT
"""Stores that are full, broken, slow, read-only, or without locks."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults import strace
from tests.faults.aftermath import hook, images_whole, runs_untouched
from tests.faults.conftest import Faulty
from tests.support import Running, Site, User

GROWS = """#!/usr/bin/python3 -u
import os, time
block, i = os.urandom(1 << 20) * 8, 0
while not os.path.exists("stop"):
    i += 1
    print("line", i)
    if os.path.exists("grow") and len(block) < (60 << 20):
        block = os.urandom(60 << 20)
    time.sleep(0.1)
raise SystemExit(7)
"""


def mounted(place: Path, *words: str | Path) -> None:
    place.mkdir(exist_ok=True)
    subprocess.run(["/bin/mount", *words, place], check=True)
    place.chmod(0o755)


def unmounted(place: Path) -> None:
    subprocess.run(["/bin/umount", "--lazy", place], check=True)


@pytest.fixture
def small(site: Site) -> Iterator[Path]:
    """A store of 50 MiB of its own."""
    place = site.root / "small"
    mounted(place, "-t", "tmpfs", "-o", "size=50M", "tmpfs")
    (place / "jobs").mkdir()
    site.other_store = place
    site.configure(reserve_mib=1)
    yield place
    unmounted(place)


@pytest.fixture
def broken(site: Site) -> Iterator[Callable[[bool], None]]:
    """A store on an ext4 whose disk fails when asked to, and is mended when asked to.

    The disk is a file with holes on a small tmpfs, as a thin volume is: when that is full, the file
    system has room, takes what is written, and fails when the kernel writes it back.
    """
    if not os.path.exists("/dev/loop-control") or not os.path.exists("/usr/sbin/mkfs.ext4"):
        pytest.skip("no loop devices, or no mkfs.ext4")
    under, place = site.root / "under", site.root / "disk"
    mounted(under, "-t", "tmpfs", "-o", "size=200M", "tmpfs")
    disk, filler = under / "disk", under / "filler"
    with disk.open("wb") as file:
        file.truncate(300 << 20)
    made = ["/usr/sbin/mkfs.ext4", "-q", "-E", "lazy_itable_init=0,nodiscard", disk]
    subprocess.run(made, check=True)
    mounted(place, "-o", "loop,errors=continue", disk)
    (place / "jobs").mkdir()
    site.other_store = place
    site.configure(reserve_mib=1)

    def fail(fails: bool) -> None:
        filler.unlink(missing_ok=True)
        if fails:
            with filler.open("wb", buffering=0) as file, suppress(OSError):
                while file.write(b"x" * (1 << 16)):
                    pass
            return
        subprocess.run(["/bin/umount", place], check=True)
        mended = subprocess.run(["/usr/sbin/e2fsck", "-fy", disk], capture_output=True)
        assert mended.returncode in (0, 1), mended.stdout
        mounted(place, "-o", "loop,errors=continue", disk)

    yield fail
    filler.unlink(missing_ok=True)
    unmounted(place)
    unmounted(under)


def goes_on(site: Site, user: User, jobs: Faulty, running: Running, tree: int) -> None:
    """The fault is over: the next checkpoint works, and the job goes on from it."""
    runs_untouched(running, tree)
    answer = hook(running, "afterwards")
    assert answer.returncode == 0, answer.stderr
    images_whole(site, running)
    assert not list(site.store.glob("jobs/*/*/*.partial"))
    running.crash()
    jobs.ends_well(jobs.resume(running))


def test_a_store_that_runs_full_during_the_dump(
    site: Site, user: User, jobs: Faulty, small: Path, counted: Callable[..., None]
) -> None:
    """More than was to be expected: the job has grown a lot since its last image."""
    running = jobs.start(GROWS)
    tree = running.exec_pid()
    assert hook(running, "first").returncode == 0
    (running.directory / "grow").touch()
    running.wait_for_line(running.spooled().count("\n") + 8)
    for name in ("a", "b", "c"):
        answer = hook(running, name)
        assert answer.returncode == 31, answer.stderr
        assert "the last image is kept" in answer.stderr
        runs_untouched(running, tree)
        assert images_whole(site, running) == 1
        assert not list(small.glob("jobs/*/*/*.partial"))
    subprocess.run(["/bin/mount", "-o", "remount,size=300M", small], check=True)
    goes_on(site, user, jobs, running, tree)
    counted("a small store runs full during a dump (ENOSPC)", 3)


def test_a_disk_that_fails_when_the_kernel_writes_back_to_it(
    site: Site,
    user: User,
    jobs: Faulty,
    broken: Callable[[bool], None],
    counted: Callable[..., None],
) -> None:
    running = jobs.start(GROWS)
    tree = running.exec_pid()
    assert hook(running, "first").returncode == 0
    (running.directory / "grow").touch()
    running.wait_for_line(running.spooled().count("\n") + 8)
    broken(True)
    for name in ("a", "b"):
        answer = hook(running, name)
        assert answer.returncode in (31, 32), answer.stderr
        runs_untouched(running, tree)
    broken(False)
    assert images_whole(site, running) == 1
    goes_on(site, user, jobs, running, tree)
    counted("a thin disk has no room when an image is written back", 2)


def test_a_store_that_became_read_only(
    site: Site, user: User, jobs: Faulty, small: Path, counted: Callable[..., None]
) -> None:
    running = jobs.start()
    tree = running.exec_pid()
    assert hook(running, "first").returncode == 0
    subprocess.run(["/bin/mount", "-o", "remount,ro", small], check=True)
    for name in ("a", "b"):
        answer = hook(running, name)
        assert answer.returncode == 32, answer.stderr
        assert "Read-only file system" in answer.stderr
        runs_untouched(running, tree)
        assert images_whole(site, running) == 1
    subprocess.run(["/bin/mount", "-o", "remount,rw", small], check=True)
    goes_on(site, user, jobs, running, tree)
    counted("a store that became read-only", 2)


@pytest.mark.usefixtures("traced")
def test_a_store_without_locks_is_refused_and_nothing_is_dumped(
    site: Site, jobs: Faulty, user: User, counted: Callable[..., None]
) -> None:
    """As on an NFS that is mounted without its lock service."""
    running = jobs.start()
    tree = running.exec_pid()
    assert hook(running, "first").returncode == 0
    for error in ("ENOLCK", "EOPNOTSUPP"):
        argv = strace.always("flock", f"error={error}", running.hook_argv(name=error))
        answer = subprocess.run(argv, capture_output=True, text=True)
        assert answer.returncode == 32, answer.stderr
        assert len(answer.stderr.splitlines()) == 1
        runs_untouched(running, tree)
        assert images_whole(site, running) == 1
    goes_on(site, user, jobs, running, tree)
    counted("a store without locks", 2)


@pytest.mark.usefixtures("traced")
def test_a_slow_disk_holds_the_hook_up_but_not_the_job(
    site: Site, jobs: Faulty, user: User, counted: Callable[..., None]
) -> None:
    running = jobs.start()
    tree = running.exec_pid()
    assert hook(running, "first").returncode == 0
    argv = running.hook_argv(name="slow")
    slow = strace.always("fsync,renameat", "delay_enter=150000", argv, threads=True)
    began, before = time.monotonic(), running.spooled().count("\n")
    assert subprocess.run(slow).returncode == 0
    took, wrote = time.monotonic() - began, running.spooled().count("\n") - before
    frozen = site.rows(running.job)[-1]["frozen_ms"]
    assert took > 1.5 and frozen < 500 * took
    assert wrote >= 5  # ten lines a second, on a quiet machine
    goes_on(site, user, jobs, running, tree)
    counted(
        "a disk on which each fsync takes 150 ms more", 1, f"{took:.1f} s, job frozen {frozen} ms"
    )


@pytest.mark.usefixtures("traced")
def test_a_disk_so_slow_that_the_dump_does_not_end_in_time(
    site: Site, jobs: Faulty, user: User, criu: Path, counted: Callable[..., None]
) -> None:
    running = jobs.start(GROWS)
    tree = running.exec_pid()
    assert hook(running, "first").returncode == 0
    site.configure(criu_path=str(criu), dump_timeout_seconds=2)
    strace.slowed(criu, "dump", "splice", 5000)
    answer = hook(running, "late")
    assert answer.returncode == 44, answer.stderr
    strace.unwrapped(criu)
    site.configure(criu_path=str(criu))
    runs_untouched(running, tree)
    assert images_whole(site, running) == 1
    goes_on(site, user, jobs, running, tree)
    counted("a disk so slow that a dump is stopped at its time limit", 1)
