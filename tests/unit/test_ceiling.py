# SPDX-License-Identifier: MIT
"""The most that a job's processes may have is what the kernel says of all of them."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit import real
from torqueckpt.manifest import Ceiling
from torqueckpt.process import ceiling, proc, tree

_UNLIMITED = 2**64 - 1
_FILES, _NICE = resource.RLIMIT_NOFILE, 13
# A thread of its own does what is in argv, then it is said that this was done.
_THREAD = """
import ctypes, os, sys, threading, time
def act():
    exec(sys.argv[1])
    print(flush=True)
    time.sleep(600)
threading.Thread(target=act).start()
"""
_NO_NEW_PRIVS = "ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)"

Start = Callable[..., "subprocess.Popen[bytes]"]


def _of(pid: int, leader: int | None = None) -> Ceiling:
    root = proc.stat(pid)
    assert root is not None
    found = ceiling.of_tree(tree.below(root), os.getpid() if leader is None else leader)
    assert found is not None
    return found


@pytest.fixture
def acting() -> Iterator[Callable[..., int]]:
    """Start a program with a thread that does `what`; gives its pid once that is done."""
    started: list[subprocess.Popen[bytes]] = []

    def start(what: str) -> int:
        argv = [sys.executable, "-c", _THREAD, what]
        program = subprocess.Popen(argv, stdout=subprocess.PIPE)
        started.append(program)
        assert program.stdout is not None and program.stdout.readline()
        return program.pid

    yield start
    for program in started:
        program.kill()
        program.communicate()


def test_a_process_like_us_has_what_we_have(started: Start) -> None:
    found = _of(started("/bin/sleep", "600").pid)
    hard = [resource.getrlimit(each)[1] for each in range(len(found.hard_limits))]
    assert list(found.hard_limits) == [_UNLIMITED if each == -1 else each for each in hard]
    assert found.nice == os.getpriority(os.PRIO_PROCESS, 0)
    assert (found.real_time, found.idle, found.seccomp, found.no_new_privs) == (0, False, 0, False)
    assert found.oom_score_adj == int(Path("/proc/self/oom_score_adj").read_text())
    assert found.groups == tuple(sorted(set(os.getgroups())))
    assert f"CapBnd:\t{found.bounding:016x}\n" in Path("/proc/self/status").read_text()
    assert found.bound == ()


def test_the_largest_limit_of_the_tree_counts(started: Start) -> None:
    lowered = "ulimit -n 300; (ulimit -n 200; echo 100 >/proc/self/oom_score_adj; exec sleep 600)"
    program = started("/bin/sh", "-c", f"({lowered}) & (ulimit -n 100; sleep 600) & wait")
    real.until(lambda: len(_tree_of(program.pid, "sleep")) == 2, "both")
    below, _ = (_of(pid) for pid in sorted(_tree_of(program.pid, "sleep")))
    whole = _of(program.pid)
    assert below.hard_limits[_FILES] < whole.hard_limits[_FILES]
    assert whole.hard_limits[_FILES] == resource.getrlimit(_FILES)[1]


def _tree_of(pid: int, name: str) -> list[int]:
    root = proc.stat(pid)
    assert root is not None
    return [each.pid for each in tree.below(root) if each.name == name]


def test_a_thread_is_looked_at_like_a_process(acting: Callable[..., int]) -> None:
    pid = acting("os.nice(3)")
    assert _of(pid).nice == os.getpriority(os.PRIO_PROCESS, 0)
    assert not _of(acting("os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))")).idle
    assert not _of(acting(_NO_NEW_PRIVS)).no_new_privs  # its other thread can still have more


def test_what_all_have_is_of_all(started: Start) -> None:
    program = "import os, time; os.sched_setscheduler(0, 5, os.sched_param(0)); os.nice(4)"
    process = started(sys.executable, "-c", f"{program}; time.sleep(600)")
    expected = os.getpriority(os.PRIO_PROCESS, 0) + 4
    real.until(lambda: _of(process.pid).nice == expected, "its nice")
    assert _of(process.pid).idle


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one CPU to be had")
def test_a_thread_with_cpus_of_its_own_is_named(acting: Callable[..., int]) -> None:
    cpu = max(os.sched_getaffinity(0))
    pid = acting(f"os.sched_setaffinity(0, {{{cpu}}})")
    (bound,) = _of(pid).bound
    assert bound.tid in map(int, os.listdir(f"/proc/{pid}/task"))
    assert (bound.tid != pid, int(bound.cpus, 16)) == (True, 1 << cpu)
    assert len(_of(pid, leader=pid).bound) == 1


def test_what_a_process_may_still_give_itself_it_had(started: Start) -> None:
    found = _of(started("/bin/sleep", "600").pid)._replace(nice=3, real_time=0, idle=True)
    none, some = ((*found.hard_limits[:_NICE], nice, 7, _UNLIMITED) for nice in (0, 30))
    without, with_some = (found._replace(hard_limits=each) for each in (none, some))
    assert (without.may_be_nice, without.may_be_real_time, without.stays_idle) == (3, 7, True)
    assert (with_some.may_be_nice, with_some.may_be_real_time) == (-10, 7)
    assert not with_some.stays_idle
    every = found._replace(hard_limits=(_UNLIMITED,) * 16)
    assert (every.may_be_nice, every.may_be_real_time, every.stays_idle) == (-20, 99, False)


_TAKE = """
import sys
from torqueckpt.process import ceiling, proc
from torqueckpt.manifest import Ceiling
had = (int(sys.argv[1]), 0, sys.argv[2] == "idle", 400)
ceiling.take(Ceiling((0,) * 16, *had, 0, (), True, 0, ()))
me = proc.stat(proc.still_me().pid)
print(*ceiling.of_tree([me], me.pid)[1:5])
"""


def test_a_child_takes_what_the_job_had(root: None) -> None:
    for nice, idle in (("7", "idle"), ("0", "-")):
        argv = ["nice", "-n", "15", sys.executable, "-c", _TAKE, nice, idle]
        taken = subprocess.run(argv, capture_output=True, text=True, check=True)
        assert taken.stdout.split() == [nice, "0", str(idle == "idle"), "400"]


def test_a_child_can_raise_itself_no_further_than_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    lowered = {}
    for name in ("setpriority", "sched_setscheduler"):
        monkeypatch.setattr(os, name, lambda *_: None)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (-1, -1))
    monkeypatch.setattr(resource, "setrlimit", lambda limit, to: lowered.update({limit: to}))
    had = _of(os.getpid())
    allowing = (*had.hard_limits[:_NICE], 30, _UNLIMITED, _UNLIMITED)
    ceiling.take(had._replace(hard_limits=allowing))
    assert lowered == {_NICE: (30, 30)}


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one CPU to be had")
def test_threads_get_their_own_cpus_again_where_these_may_be_used(
    acting: Callable[..., int],
) -> None:
    one, other, *_ = sorted(os.sched_getaffinity(0))
    had = _of(acting(f"os.sched_setaffinity(0, {{{one}}})"))
    pid = acting("")
    tids = sorted(int(tid) for tid in os.listdir(f"/proc/{pid}/task"))
    (bound,) = had.bound
    ended = bound._replace(tid=2**22)
    ceiling.bind(had._replace(bound=(ended, bound._replace(tid=tids[1]))))
    assert os.sched_getaffinity(tids[1]) == {one}
    assert os.sched_getaffinity(tids[0]) == os.sched_getaffinity(0)
    ceiling.bind(had._replace(bound=(bound._replace(tid=tids[1], cpus=f"{1 << other:x}"),)))
    assert os.sched_getaffinity(tids[1]) == {one}  # where it may not go now


def test_of_a_tree_that_has_ended_nothing_is_known(started: Start) -> None:
    process = started("/bin/true")
    real.until(lambda: real.state(process.pid) == "Z", "its end")
    zombie = proc.stat(process.pid)
    assert zombie is not None
    assert ceiling.of_tree([zombie], os.getpid()) is None
