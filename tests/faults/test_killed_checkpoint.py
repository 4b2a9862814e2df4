# SPDX-License-Identifier: MIT
"""kill -9 at every step of a checkpoint, and every step that fails: the hook's, CRIU's."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import strace
from tests.faults.aftermath import (
    hook,
    images_whole,
    listed_truly,
    nothing_left,
    runs_untouched,
)
from tests.faults.conftest import Faulty
from tests.faults.parts import part
from tests.support import LIMIT_SECONDS, Running, Site, User, alive, kill, stat_fields, wait_until

pytestmark = pytest.mark.usefixtures("traced")

_LOG = "failed-dump.log"
_FILES = ("mkdirat", "openat", "write", "pwrite64", "fsync", "renameat", "unlinkat", "symlinkat")
# Not ptrace: killed while its code is in the job, CRIU takes that along (docs/reliability.md).
_CRIU = ("openat", "mkdirat", "write", "writev", "splice", "vmsplice")


def sessions(site: Site) -> set[int]:
    alive = [each for each in site.running if each.process.poll() is None]
    return {int(stat_fields(each.leader())[3]) for each in alive}


def as_before(site: Site, user: User, running: Running, tree: int, step: strace.Step) -> None:
    """The job ran on, its images are whole, and the next checkpoint finds nothing in its way."""
    runs_untouched(running, tree)
    answer = hook(running, f"after-{step.name}-{step.turn}")
    assert answer.returncode == 0, f"{step}: {answer.stderr}"
    images_whole(site, running)
    listed_truly(site, running)
    nothing_left(site, user, sessions(site))


def test_a_hook_killed_at_each_step_of_a_jobs_first_checkpoint(
    site: Site, user: User, jobs: Faulty, counted: Callable[..., None]
) -> None:
    chosen = strace.sampled(strace.steps(jobs.start().hook_argv(name="listened")), 2)
    for step in chosen:
        running = jobs.start()
        argv = strace.at(step, "signal=KILL", running.hook_argv(name="killed"))
        subprocess.run(argv, capture_output=True, timeout=LIMIT_SECONDS)
        as_before(site, user, running, running.exec_pid(), step)
    running.crash()
    jobs.ends_well(jobs.resume(running))
    counted("kill -9 of the hook at a step of a job's first checkpoint", len(chosen))


@pytest.mark.parametrize("what", strace.kinds())
def test_a_hook_killed_or_failing_at_each_step_of_a_later_checkpoint(
    site: Site, user: User, jobs: Faulty, counted: Callable[..., None], what: str
) -> None:
    running = jobs.start()
    tree = running.exec_pid()
    assert hook(running, "first").returncode == 0
    calls = strace.STEPS if what.startswith("signal") else _FILES
    chosen, killed = (
        strace.spread(strace.steps(running.hook_argv(name="listened"), calls), 3, 50),
        0,
    )
    for step in chosen:
        argv = strace.at(step, what, running.hook_argv(name=f"{step.name}-{step.turn}"))
        answer = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_SECONDS)
        assert answer.returncode != 70, f"{step}: {answer.stderr}"
        killed += answer.returncode in (-9, 137)
        images_whole(site, running)
        listed_truly(site, running)
        as_before(site, user, running, tree, step)
    if what == "signal=KILL":  # how often it waits for others is not the same each time
        assert killed >= 0.8 * len(chosen)
    running.crash()
    jobs.ends_well(jobs.resume(running))
    how = "kill -9 of the hook" if "KILL" in what else f"{what[6:]} from a file call of the hook"
    counted(f"{how} at a step of a later checkpoint", len(chosen))


def _was_dumped(lineage: Path) -> bool:
    """Whether the checkpoint that has just been killed, or failed, had begun its dump; then what
    CRIU said of that is kept."""
    return any(lineage.glob("*.partial/work/stats-dump")) or (lineage / _LOG).exists()


@pytest.mark.parametrize("compress", ["off", "on"])
@pytest.mark.parametrize("what", strace.kinds())
def test_a_hook_killed_or_failing_while_it_makes_an_image_safe(
    site: Site, user: User, jobs: Faulty, counted: Callable[..., None], what: str, compress: str
) -> None:
    """Several threads are at it; each of them is hit at one of its calls, the first ends it.

    A compressed file that cannot be written is none: the other one is there.
    """
    site.configure(compress=compress)
    running = jobs.start()
    tree = running.exec_pid()
    assert hook(running, "first").returncode == 0
    calls = ("fsync", "write") if compress == "on" else ("fsync",)
    steps = [(call, n) for call in calls for n in range(1, strace.most(4, 9))]
    hit, lineage = 0, site.lineage(running.job)
    for call, n in steps:
        (lineage / _LOG).unlink(missing_ok=True)
        argv = running.hook_argv(name=f"{call}{n}")
        argv = strace.always(call, f"{what}:when={n}", argv, threads=True)
        answer = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_SECONDS)
        assert answer.returncode != 70, f"{call} {n}: {answer.stderr}"
        hit += answer.returncode not in (0, 43) and _was_dumped(lineage)  # 43: CRIU failed
        as_before(site, user, running, tree, strace.Step(call, n))
    assert hit >= 2
    running.crash()
    jobs.ends_well(jobs.resume(running))
    how = "kill -9" if "KILL" in what else what[6:]
    form = "a compressed image" if compress == "on" else "an image"
    counted(f"{how} at an fsync or write of those who make {form} safe", len(steps))


@pytest.mark.parametrize("signal", [0, 15])
def test_a_hook_killed_while_criu_has_its_code_in_the_jobs_processes(
    site: Site, user: User, jobs: Faulty, criu: Path, counted: Callable[..., None], signal: int
) -> None:
    """CRIU takes it out before it ends; killed with the hook it would take the job along."""
    running = jobs.start()
    tree = running.exec_pid()
    assert hook(running, "first").returncode == 0
    count = strace.most(2, 40)
    for n in range(count):
        strace.slowed(criu, "dump", "ptrace", 10)
        killed = subprocess.Popen(running.hook_argv(name=f"killed{n}", signal=signal))
        wait_until(lambda: stat_fields(tree)[0] == "t")
        time.sleep(0.8 * n / count)
        killed.kill()
        killed.wait()
        runs_untouched(running, tree)
        strace.unwrapped(criu)
        as_before(site, user, running, tree, strace.Step("moment", n))
    jobs.ends_well(running)
    ending = " for a hold" if signal else ""
    counted(f"kill -9 of the hook while CRIU has its code in the job{ending}", count)


@pytest.mark.parametrize("signal", [0, 15])
def test_the_hooks_keeper_killed_while_criu_has_its_code_in_the_jobs_processes(
    site: Site, user: User, jobs: Faulty, criu: Path, counted: Callable[..., None], signal: int
) -> None:
    """The hook fails before CRIU ends, which it does later, and leaves a job to be held stopped."""
    running = jobs.start()
    tree = running.exec_pid()
    assert hook(running, "first").returncode == 0
    count = strace.most(1, 20)
    for n in range(count):
        strace.slowed(criu, "dump", "ptrace", 10)
        argv = running.hook_argv(name=f"killed{n}", signal=signal)
        failing = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: stat_fields(tree)[0] == "t")
        keeper = wait_until(lambda top=failing.pid: part("keeper", top, user.uid))
        time.sleep(0.8 * n / count)
        kill(keeper)
        failing.wait(LIMIT_SECONDS)
        runs_untouched(running, tree)
        strace.unwrapped(criu)
        as_before(site, user, running, tree, strace.Step("keeper", n))
    jobs.ends_well(running)
    ending = " for a hold" if signal else ""
    counted(f"kill -9 of the hook's keeper while CRIU has its code in the job{ending}", count)


def test_a_job_that_criu_leaves_stopped_after_its_hook_has_failed_runs_on(
    site: Site, user: User, jobs: Faulty, criu: Path, counted: Callable[..., None]
) -> None:
    """The hook's keeper is killed, so the hook fails, and has the job go on, before CRIU ends."""
    running = jobs.start()
    tree = running.exec_pid()
    dumped, may_end = (running.directory / name for name in ("dumped", "may-end"))
    real = criu.with_name("criu-itself")
    criu.rename(real)
    criu.write_text(
        f'#!/bin/sh\n[ "$1" = dump ] || exec {real} "$@"\n{real} "$@" || exit\ntouch {dumped}\n'
        f"until [ -e {may_end} ]; do sleep 0.05; done\nkill -STOP {tree}\n"
    )
    criu.chmod(0o755)
    failing = subprocess.Popen(running.hook_argv(name="held", signal=15), stderr=subprocess.PIPE)
    wait_until(dumped.exists)
    left = part("timeout", failing.pid, user.uid)
    assert left is not None
    kill(wait_until(lambda: part("keeper", failing.pid, user.uid)))
    assert b"it was killed" in failing.communicate(timeout=LIMIT_SECONDS)[1]
    may_end.touch()
    wait_until(lambda: not alive(left))
    real.replace(criu)
    as_before(site, user, running, tree, strace.Step("keeper", 1))
    jobs.ends_well(running)
    counted("CRIU leaves a job stopped after its hook has failed", 1)


@pytest.mark.parametrize("what", strace.kinds())
def test_criu_killed_or_failing_at_each_step_of_its_dump(
    site: Site, user: User, jobs: Faulty, criu: Path, counted: Callable[..., None], what: str
) -> None:
    log = site.root / "steps"
    running = jobs.start()
    tree = running.exec_pid()
    log.touch(mode=0o666)
    log.chmod(0o666)
    strace.listened(criu, "dump", log, _CRIU)
    assert hook(running, "listened").returncode == 0
    found = strace.listed(log.read_text(errors="replace"))
    chosen = strace.spread(found, 2, 40)
    for step in chosen:
        strace.wrapped(criu, "dump", step, what)
        answer = hook(running, f"{step.name}-{step.turn}")
        assert answer.returncode != 70, f"{step}: {answer.stderr}"
        assert "signal" not in what or answer.returncode == 43, f"{step}: {answer.stderr}"
        images_whole(site, running)
        strace.unwrapped(criu)
        as_before(site, user, running, tree, step)
    running.crash()
    jobs.ends_well(jobs.resume(running))
    how = "kill -9 of CRIU itself" if "KILL" in what else f"{what[6:]} from a file call of CRIU"
    counted(f"{how} at a step of its dump that is none in the job", len(chosen))
