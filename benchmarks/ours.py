# SPDX-License-Identifier: MIT
"""The installed mom-checkpoint and mom-restart, called as pbs_mom calls them."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.place import Job, newest
from tests.support import Running

_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


@dataclass(frozen=True)
class Taken:
    """Seconds: the hook's wall, CRIU's own frozen time, the job's own gap."""

    wall: float
    frozen: float
    gap: float


def checkpoint(running: Running, job: Job, keep: bool = False) -> Taken:
    """One more image; the older ones are removed afterwards, unless they are to be kept."""
    argv = hook_argv(running)
    before = time.monotonic()
    subprocess.run(argv, env=_ENVIRONMENT, stdin=subprocess.DEVNULL, cwd="/", check=True)
    after = time.monotonic()
    frozen = newest(running, keep)[1]["frozen_us"]
    assert isinstance(frozen, int)
    return Taken(after - before, frozen / 1e6, job.longest_gap(before, after))


def peak_of_checkpoint(running: Running) -> float:
    """MiB: the most memory that the hook, or a process that it forked, ever had."""
    argv = hook_argv(running)
    hook = subprocess.Popen(argv, env=_ENVIRONMENT, stdin=subprocess.DEVNULL, cwd="/")
    program, highest = os.path.realpath(_interpreter(argv[0])), 0.0
    while hook.poll() is None:
        children = Path(f"/proc/{hook.pid}/task/{hook.pid}/children")
        with suppress(FileNotFoundError, ProcessLookupError):
            for pid in (hook.pid, *map(int, children.read_text().split())):
                if os.path.realpath(f"/proc/{pid}/exe") == program:
                    highest = max(highest, peak(pid))
        time.sleep(0.001)
    newest(running)
    return highest


def _interpreter(program: str) -> str:
    """What the first line of a program names."""
    with open(program) as text:
        return text.readline()[2:].split()[0]


def peak(pid: int) -> float:
    """MiB that a process has had at most; 0 when it is over."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def restart(argv: list[str], pid: int, job: Job) -> tuple[float, float]:
    """Seconds from the call to the job's first step, and the supervisor's peak in MiB."""
    before = time.monotonic()
    supervisor = subprocess.Popen(
        argv, env=_ENVIRONMENT, stdin=subprocess.DEVNULL, cwd="/", start_new_session=True
    )
    again = job.ran_again(before)
    time.sleep(0.2)  # it becomes the user for good
    highest = peak(supervisor.pid)
    os.kill(pid, 9)
    supervisor.wait(60)
    return again - before, highest


def restart_argv(running: Running) -> list[str]:
    """The call for an image that no pointer leads to; to be asked for while the job runs."""
    user = running.site.owner_of(running.job)
    words = (str(running.leader()), running.job, user, user, "-", "-")
    return [str(running.site.restart_program), *words]


def hook_argv(running: Running) -> list[str]:
    """The same name again would be the same checkpoint."""
    return running.hook_argv(name=f"bench.{secrets.token_hex(4)}", depth="99")
