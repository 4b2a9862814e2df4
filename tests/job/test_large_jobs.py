# SPDX-License-Identifier: MIT
"""Jobs that hold very much of something: each is saved and comes back, or is refused in time.

With TORQUECKPT_LONG=1 they are as large as this machine lets a job be, and take minutes.
"""

from __future__ import annotations

import json
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from tests.batch.private import LONG
from tests.support import Running, Site, User, wait_until

_SECONDS = 1800  # for one of the large ones

# Each child holds what it is told to, and says whether it is still so once it may go on.
_JOB = """#!/usr/bin/python3 -u
import ctypes, mmap, os, resource, time
here = os.environ["PBS_O_WORKDIR"]
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

def wait_for(name):
    while not os.path.exists(f"{{here}}/{{name}}"):
        time.sleep(0.05)

def descriptors(child, count):
    opened = [os.open(f"{{here}}/data", os.O_RDONLY) for _ in range(count)]
    for at, fd in enumerate(opened):
        os.lseek(fd, at, os.SEEK_SET)
    yield
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, most)
    assert [os.lseek(fd, 0, os.SEEK_CUR) for fd in opened] == list(range(count))

def number(child, count):
    os.dup2(os.open(f"{{here}}/data", os.O_RDONLY), count)
    os.lseek(count, 5, os.SEEK_SET)
    yield
    assert os.lseek(count, 0, os.SEEK_CUR) == 5

def mappings(child, count):
    block = mmap.mmap(-1, count * 4096)
    libc, start = ctypes.CDLL(None), ctypes.addressof(ctypes.c_char.from_buffer(block))
    for at in range(count):
        block[at * 4096] = at % 251
    for at in range(0, count, 2):  # every other page is a mapping of its own
        assert libc.mprotect(ctypes.c_void_p(start + at * 4096), 4096, mmap.PROT_READ) == 0
    yield
    assert all(block[at * 4096] == at % 251 for at in range(count))
    with open("/proc/self/maps") as maps:
        assert sum(1 for _ in maps) >= count

def files(child, count):
    opened = [open(f"{{here}}/file-{{child}}-{{n}}", "w") for n in range(count)]
    def write(word):
        for n, file in enumerate(opened):
            print(word, child, n, file=file, flush=True)
    write("before")
    yield
    write("after")

def processes(child, count):
    yield

told, tells = os.pipe()
waits, lets_go = os.pipe()
children = []
for child in range({children}):
    pid = os.fork()
    if pid == 0:
        os.close(lets_go)
        work = {what}(child, {count})
        next(work)
        os.write(tells, b".")
        os.read(waits, 1)
        next(work, None)
        os._exit(0)
    children.append(pid)
os.close(waits)
for _ in children:
    assert os.read(told, 1) == b"."
print("line 1")
wait_for("may-end")
os.close(lets_go)
assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)
print("line 2")
raise SystemExit(7)
"""


class Large(NamedTuple):
    """What the job holds: so many processes, each with `count` of it."""

    what: str
    children: int
    count: int


_JOBS = (
    (Large("descriptors", 8, 16_900), Large("descriptors", 2, 1000)),
    (Large("mappings", 16, 62_500), Large("mappings", 1, 2000)),
    (Large("files", 2, 10_000), Large("files", 2, 100)),
    (Large("processes", 2000, 1), Large("processes", 30, 1)),
)


@pytest.fixture
def start(site: Site, user: User) -> Callable[[Large], Running]:
    """Start such a job; it has got hold of all when this returns."""

    def started(large: Large) -> Running:
        directory = user.directory()
        (directory / "data").write_bytes(bytes(20_000))
        script = user.script(_JOB.format(**large._asdict()), directory)
        running = site.start(user, script, "-c", "enabled")
        wait_until(lambda: "line 1\n" in running.spooled() or running.process.poll() is not None)
        return running

    return started


def _checkpoint(running: Running, name: str) -> subprocess.CompletedProcess[str]:
    argv = running.hook_argv(name=name, depth="1")
    return subprocess.run(argv, stderr=subprocess.PIPE, text=True, timeout=_SECONDS)


def _goes_on(site: Site, user: User, running: Running) -> float:
    """After a crash it goes on from its image, to its right end; gives the seconds until then."""
    began = time.monotonic()
    running.crash()
    resumed = site.resume(user, running.job, running.directory)
    site.wait_for_restart(resumed)
    took = time.monotonic() - began
    resumed.may_end.touch()
    assert resumed.process.wait(_SECONDS) == 7, resumed.err()
    assert resumed.out() == "line 1\nline 2\n"
    return took


@pytest.mark.parametrize("large", [pair[0 if LONG else 1] for pair in _JOBS], ids=str)
def test_what_is_saved_comes_back_as_it_was(
    site: Site, user: User, start: Callable[[Large], Running], large: Large
) -> None:
    running = start(large)
    began = time.monotonic()
    hook = _checkpoint(running, "large")
    took = time.monotonic() - began
    assert hook.returncode == 0, hook.stderr
    manifest = site.lineage(running.job) / "1" / "manifest.json"
    size = manifest.stat().st_size
    frozen_ms = json.loads(manifest.read_bytes())["manifest"]["frozen_us"] // 1000
    written = sorted(running.directory.glob("file-*"))
    for path in written:
        with path.open("a") as file:
            file.write("later\n")
    back = _goes_on(site, user, running)
    assert len(written) == (large.children * large.count if large.what == "files" else 0)
    for path in written:
        _, child, n = path.name.split("-")
        assert path.read_text() == f"before {child} {n}\nafter {child} {n}\n"
    print(
        f"\n{large}: manifest {size / 1e6:.1f} MB, {took:.1f} s, frozen {frozen_ms} ms,"
        f" restarted within {back:.1f} s"
    )


def test_a_job_that_has_raised_its_own_limit_comes_back_in_a_job_that_has_not(
    site: Site, user: User, start: Callable[[Large], Running]
) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with _soft_limit(1024):  # as batch systems' daemons have it, and so their jobs
        running = start(Large("descriptors", 1, min(2000, hard - 200)))
        hook = _checkpoint(running, "many")
        assert hook.returncode == 0, hook.stderr
        _goes_on(site, user, running)


def test_a_descriptor_beside_the_hard_limit_is_refused_and_the_next_smaller_comes_back(
    site: Site, user: User, start: Callable[[Large], Running]
) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    largest = hard // 128 * 128 - 33
    running = start(Large("number", 1, largest + 1))
    hook = _checkpoint(running, "refused")
    assert hook.returncode == 19
    assert f"descriptor {largest + 1}: a restart needs" in hook.stderr
    assert site.generations(running.job) == []
    assert running.wait() == 7
    running = start(Large("number", 1, largest))
    hook = _checkpoint(running, "taken")
    assert hook.returncode == 0, hook.stderr
    _goes_on(site, user, running)


def test_a_job_that_may_have_fewer_files_open_is_told_which_limit_before_anything_is_touched(
    site: Site, user: User, start: Callable[[Large], Running]
) -> None:
    running = start(Large("number", 1, 1500))
    assert _checkpoint(running, "taken").returncode == 0
    running.crash()
    lower = ("prlimit", "--nofile=1000:1400")
    refused = site.resume(user, running.job, running.directory, begun_by=lower)
    assert refused.wait() == 125
    needs = json.loads((site.lineage(running.job) / "1" / "manifest.json").read_bytes())
    process = needs["manifest"]["needs"]["pid"]
    assert f"process {process} has number 1500 open, the hard limit is 1400" in refused.err()
    enough = ("prlimit", "--nofile=1000:1700")
    resumed = site.resume(user, running.job, running.directory, begun_by=enough)
    assert resumed.wait() == 7, resumed.err()
    assert resumed.out() == "line 1\nline 2\n"


@contextmanager
def _soft_limit(files: int) -> Iterator[None]:
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))
