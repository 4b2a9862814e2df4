# SPDX-License-Identifier: MIT
"""Root's programs, started by a hostile caller: none of what he leaves them has an effect."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import hostile
from tests.support import LIMIT_SECONDS, Running, Site, User, counting, wait_until
from torqueckpt.errors import OWN_FAILURE, OddBeginning

# SIGPIPE, SIGXFSZ; and the C library's two, which posix_spawn() may have ignored
_NOBODY_S_CHOICE = 1 << 12 | 1 << 24 | 1 << 31 | 1 << 32


@pytest.fixture
def running(site: Site, user: User) -> Running:
    site.configure(repeat_window_seconds=0)
    started = site.start(user, user.script(counting(100), user.directory()), "-c", "enabled")
    started.wait_for_line(1)
    assert subprocess.run(started.hook_argv()).returncode == 0
    return started


@contextmanager
def _held_up(site: Site, user: User) -> Iterator[None]:
    """Inside, whoever looks for a lineage of the user's waits for the lock of his directory."""
    lock = os.open(site.store / "jobs" / user.name / "lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(lock)


def _door(site: Site, user: User, running: Running) -> list[str]:
    door = site.root / "lib" / "torqueckpt" / "rootdoor"
    words = ("dump", str(running.exec_pid()), "0", running.job)
    sudo = ("/usr/bin/sudo", "-n", str(door), *words)
    return user.argv(*hostile.argv(hostile.BY_ANYBODY, *sudo))


def _hook(site: Site, user: User, running: Running) -> list[str]:
    return hostile.argv(hostile.BY_ANYBODY, *running.hook_argv())


def _row(pid: int, name: str) -> str:
    status = Path(f"/proc/{pid}/status").read_text()
    return status.partition(f"\n{name}:\t")[2].partition("\n")[0]


def _limit(pid: int, name: str) -> tuple[str, str]:
    """The soft one and the hard one."""
    row = Path(f"/proc/{pid}/limits").read_text().partition(f"\n{name} ")[2].split()
    return row[0], row[1]


def _as_root_left_it(pid: int) -> dict[str, Any]:
    """What a hostile caller changes of a program, as the kernel tells it of this one."""
    kinds = ("cpu time", "file size", "core file size", "open files")
    *limits, files = (_limit(pid, f"Max {kind}")[0] for kind in kinds)
    return {
        "umask": _row(pid, "Umask"),
        "ignored": int(_row(pid, "SigIgn"), 16) & ~_NOBODY_S_CHOICE,
        "held back": int(_row(pid, "SigBlk"), 16),
        "nice": os.getpriority(os.PRIO_PROCESS, pid),
        "class": os.sched_getscheduler(pid),
        "cpus": os.sched_getaffinity(pid),
        "oom_score_adj": Path(f"/proc/{pid}/oom_score_adj").read_text(),
        "personality": int(Path(f"/proc/{pid}/personality").read_text(), 16),
        "directory": os.readlink(f"/proc/{pid}/cwd"),
        "slack": Path(f"/proc/{pid}/timerslack_ns").read_text(),
        "limits": tuple(limits),
        "files enough": int(files) >= 1024,
    }


@pytest.mark.parametrize("program", [_door, _hook])
def test_what_a_hostile_caller_leaves_has_no_effect_and_the_image_is_made(
    site: Site, user: User, running: Running, program: Callable[[Site, User, Running], list[str]]
) -> None:
    with _held_up(site, user):
        called = subprocess.Popen(
            program(site, user, running), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        acting = f"0\t{user.uid}\t0\t{user.uid}"
        wait_until(lambda: called.poll() is not None or _row(called.pid, "Uid") == acting)
        assert called.poll() is None, called.communicate()
        assert _as_root_left_it(called.pid) == {
            "umask": "0077",
            "ignored": 0,
            "held back": 0,
            "nice": 0,
            "class": os.SCHED_OTHER,
            "cpus": os.sched_getaffinity(1),
            "oom_score_adj": "0\n",
            "personality": 0,
            "directory": "/",
            "slack": "50000\n",
            "limits": ("unlimited", "unlimited", "0"),
            "files enough": True,
        }
    _, told = called.communicate(timeout=LIMIT_SECONDS)
    assert called.returncode == 0, told
    assert len(list(site.store.glob("jobs/*/*/*/manifest.json"))) == 2
    assert running.wait() == 7


@pytest.mark.parametrize("way", ["no_setuid_fixup", "locked securebits", "bounding"])
def test_securebits_that_outlive_exec_end_the_hook_and_the_door_before_they_do_anything(
    site: Site, user: User, running: Running, way: str
) -> None:
    """So a program in CRIU's place would begin: with them seteuid() takes no capability away."""
    door = str(site.root / "lib" / "torqueckpt" / "rootdoor")
    words = ("dump", str(running.exec_pid()), "0", running.job)
    for argv, code in (
        (hostile.argv([way], *running.hook_argv()), OddBeginning.exit_code),
        (hostile.argv([way], door, *words), OWN_FAILURE),
        (hostile.argv([way], str(site.program), "list"), OddBeginning.exit_code),
    ):
        done = subprocess.run(argv, env={"SUDO_UID": str(user.uid)}, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
        assert "does not begin: it" in done.stderr and len(done.stderr.splitlines()) == 1
    assert site.generations(running.job) == [1]
    assert running.wait() == 7


def test_a_resumed_job_has_what_its_resume_job_was_given_and_not_what_root_took(
    site: Site, user: User, running: Running
) -> None:
    running.crash()
    script = user.directory() / "resume.sh"
    made = user.argv(site.program, "resume-job", running.job, "-o", script)
    subprocess.run(made, check=True)
    cpu = max(os.sched_getaffinity(0))
    given = f"taskset -p -c {cpu} $$ >/dev/null; choom -n 300 -p $$ >/dev/null\n"
    given += "ulimit -f 4000000; ulimit -t 50000; ulimit -n 900\n"
    script.write_text(script.read_text().replace("exec ", f"{given}exec ", 1))
    resumed = site.start(user, script)
    resumed.may_end = running.may_end
    site.wait_for_restart(resumed)
    root = json.loads((site.lineage(running.job) / "live.json").read_text())["tree"]["pid"]
    found = _as_root_left_it(root)
    assert (found["cpus"], found["oom_score_adj"]) == ({cpu}, "300\n")
    assert found["limits"][:2] == ("50000", "2048000000")
    assert _limit(root, "Max open files") == ("900", "900")
    assert resumed.wait() == 7, resumed.err()
