# SPDX-License-Identifier: MIT
"""Files whose opened name is gone, while names come and go between the last look and the dump."""

from __future__ import annotations

import subprocess

import pytest

from tests.job.slow_criu import slow_criu
from tests.support import Running, Site, User, wait_until

_PROGRAM = """#!/usr/bin/python3 -u
import ctypes, os, time
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
def maps(name, other):  # without a descriptor, which Python's mmap keeps
    with open(name, "wb+", 0) as file:
        file.write(bytes(4096))
        assert libc.mmap(None, 4096, 3, 1, file.fileno(), 0) not in (None, 2**64 - 1)
    os.link(name, other)
    os.unlink(name)
maps("one", "other1")
maps("two", "WHERE")
print("held")
while not os.path.exists("more"):
    time.sleep(0.01)
maps("three", "other3")
os.unlink("other1")
print("more")
while not os.path.exists("go"):
    time.sleep(0.01)
assert os.path.exists("other3") and not os.path.exists("other1")
print("still there")
os._exit(7)
"""


@pytest.fixture
def running(site: Site, user: User, where: str) -> Running:
    directory = user.directory()
    (directory / "below").mkdir(mode=0o777)
    (directory / "below").chmod(0o777)
    script = user.script(_PROGRAM.replace("WHERE", where), directory)
    started = site.start(user, script, "-c", "enabled")
    wait_until(lambda: "held\n" in started.spooled())
    return started


@pytest.mark.parametrize("where", ["other2"])
def test_a_name_that_comes_or_goes_before_the_freeze_costs_no_checkpoint(
    site: Site, user: User, running: Running
) -> None:
    with slow_criu(site, "dump") as go_on:
        asked = subprocess.Popen(running.hook_argv(name="one"), stderr=subprocess.PIPE, text=True)
        wait_until(go_on.with_name(f"{go_on.name}.waits").exists)
        (running.directory / "more").touch()
        wait_until(lambda: "more\n" in running.spooled())
        go_on.touch()
        assert asked.wait() == 0, asked.stderr and asked.stderr.read()
    assert "dumped once more" in (site.lineage(running.job) / "1" / "log").read_text()
    running.crash()
    again = site.resume(user, running.job, running.directory)
    site.wait_for_restart(again)
    (running.directory / "go").touch()
    assert again.wait() == 7, again.err()
    assert again.out() == "held\nmore\nstill there\n"


@pytest.mark.parametrize("where", ["below/other2"])
def test_a_mapped_file_whose_other_name_is_not_found_is_refused_by_name(
    running: Running,
) -> None:
    answer = subprocess.run(running.hook_argv(name="one"), capture_output=True, text=True)
    assert answer.returncode != 0 and f"{running.directory}/two is open or mapped" in answer.stderr
    for name in ("more", "go"):
        (running.directory / name).touch()
    assert running.wait() == 7, running.err()
