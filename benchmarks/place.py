# SPDX-License-Identifier: MIT
"""A user and a site of the benches' own, and jobs that note when they stood still."""

from __future__ import annotations

import ctypes
import json
import os
import pwd
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support import Running, Site, User, kill, session, wait_until

MIB = 1024 * 1024
# What a job's memory is made of, again and again: a MiB that no compression makes smaller, and one
# of half empty pages.  zstd, at the level that is used, does not look back as far as a MiB.
DENSE = "os.urandom(1 << 20)"
HALF_EMPTY = "b''.join(os.urandom(2048) + bytes(2048) for _ in range(256))"
_PR_SET_CHILD_SUBREAPER = 36

# A line for each time that it stood still for longer than 4 ms: when that was over, for how long.
_JOB = """#!/usr/bin/python3 -u
import os, subprocess, time
gaps = open({gaps!r}, "a", buffering=1)
ballast = bytearray({block}) * {mebibytes}
others = [subprocess.Popen(["/bin/sleep", "1000000"]) for _ in range({processes} - 1)]
print("line 1")
before = time.monotonic()
while True:
    time.sleep(0.001)
    now = time.monotonic()
    if now - before > 0.004:
        gaps.write(f"{{now}} {{now - before}}\\n")
    before = time.monotonic()
"""


@dataclass(frozen=True)
class Place:
    user: User
    site: Site


@dataclass(frozen=True)
class Job:
    """A job under the local batch system, or beside it."""

    gaps: Path

    def longest_gap(self, since: float, until: float) -> float:
        """The longest time that it stood still and that ended then; by the monotonic clock."""
        found = [gap for at, gap in self._noted() if since < at <= until + 0.05]
        return max(found, default=0.0)

    def ran_again(self, since: float, seconds: float = 120) -> float:
        """When it took its first step after `since`."""

        def first() -> list[float]:
            return [at for at, gap in self._noted() if at > since and at - gap < since]

        found: list[float] = wait_until(first, seconds)
        return found[0]

    def _noted(self) -> list[tuple[float, float]]:
        lines = self.gaps.read_text().splitlines() if self.gaps.exists() else []
        pairs = [line.split() for line in lines]
        return [(float(pair[0]), float(pair[1])) for pair in pairs if len(pair) == 2]


def adopt() -> None:
    """Orphans become children of ours: process numbers are free again as soon as we look."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


@contextmanager
def place() -> Iterator[Place]:
    name = f"tckptbench{secrets.token_hex(2)}"
    subprocess.run(["/usr/sbin/useradd", "-m", "-s", "/bin/bash", name], check=True)
    entry = pwd.getpwnam(name)
    user = User(entry.pw_name, entry.pw_uid, entry.pw_gid, Path(entry.pw_dir))
    site = Site.make()
    try:
        yield Place(user, site)
    finally:
        user.kill_all()
        site.remove()
        subprocess.run(["/usr/sbin/userdel", "-r", name], check=True, capture_output=True)


def script(
    where: Place, mebibytes: int, processes: int = 1, block: str = DENSE
) -> tuple[Path, Job]:
    """A job script in a directory of its own."""
    directory = where.user.directory()
    job = Job(directory / "gaps")
    given = {"mebibytes": mebibytes, "processes": processes, "block": block}
    text = _JOB.format(gaps=str(job.gaps), **given)
    return where.user.script(text, directory), job


@contextmanager
def started(
    where: Place, mebibytes: int, processes: int = 1, block: str = DENSE
) -> Iterator[tuple[Running, Job]]:
    """The job, once it has its memory and its processes; taken away with all its images."""
    program, job = script(where, mebibytes, processes, block)
    running = where.site.start(where.user, program, "-c", "enabled")
    try:
        wait_until(lambda: "line 1\n" in running.spooled(), 300)
        time.sleep(0.3)
        yield running, job
    finally:
        forget(running)


def lose(running: Running) -> None:
    """The MOM and the job's session are killed; the spool files and the images are left."""
    members = session(running.leader())
    running.process.kill()
    running.process.wait()
    for pid in members:
        kill(pid)
    for pid in members:
        with suppress(ChildProcessError):  # its own parent had looked before it ended
            os.waitpid(pid, 0)


def forget(running: Running) -> None:
    """End the job, if it still runs, and remove what it has left in the store."""
    if running.process.poll() is None:
        lose(running)
    running.site.running.remove(running)
    if running.process.stdout is not None:
        running.process.stdout.close()
    for lineage in running.site.store.glob(f"jobs/*/{running.job}@*"):
        shutil.rmtree(lineage)


def newest(running: Running, keep: bool = False) -> tuple[Path, dict[str, object]]:
    """The directory of the job's newest image, and its manifest; all older ones are removed, unless
    they are to be kept."""
    found = running.site.store.glob(f"jobs/*/{running.job}@*/[1-9]*")
    made = sorted((each for each in found if each.name.isdigit()), key=lambda each: int(each.name))
    for old in [] if keep else made[:-1]:
        shutil.rmtree(old)
    manifest = json.loads((made[-1] / "manifest.json").read_bytes())["manifest"]
    return made[-1], manifest


def room_for(where: Place, mebibytes: int) -> str:
    """Why a job of this size cannot be measured here; "" when it can.

    It needs its memory and some for the page cache, and room for two images of ours and one more.
    """
    free = shutil.disk_usage(where.site.root).free // MIB
    if free < 3 * mebibytes + 2048:
        return f"{free} MiB of disk are free, {3 * mebibytes + 2048} are needed"
    rows = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    available = int(rows["MemAvailable"].split()[0]) // 1024
    needed = mebibytes + max(512, mebibytes // 3)
    return "" if available >= needed else f"{available} MiB are available, {needed} are needed"


def settle() -> None:
    """Nothing of an earlier round is still on its way to the disk."""
    os.sync()
    time.sleep(0.1)
