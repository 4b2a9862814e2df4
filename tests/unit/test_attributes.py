# SPDX-License-Identifier: MIT
"""What a process has that CRIU does not save is read from the kernel, and given back as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit import core_images, real
from torqueckpt.manifest import Attributes, IoPriority
from torqueckpt.process import attributes, proc, system_calls, tree

_IDLE = 3 << 13
_USUAL = Attributes(0, 0, 50_000, 0, "", 0x33)
_SET = """
import ctypes, time
libc = ctypes.CDLL(None)
libc.personality(0x20000)
libc.syscall(251, 1, 0, 3 << 13)
open("/proc/self/coredump_filter", "w").write("0x21")
print(flush=True)
time.sleep(600)
"""

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def special(started: Start) -> int:
    """A process with attributes of its own."""
    program = started(*real.python(_SET), stdout=subprocess.PIPE)
    assert program.stdout is not None and program.stdout.readline()
    return program.pid


def _of(pid: int, leader: int) -> tuple[tuple[Attributes, ...], tuple[IoPriority, ...]]:
    root = proc.stat(pid)
    assert root is not None
    return attributes.of_tree(tree.below(root), leader)


def test_what_the_batch_system_gave_is_not_the_jobs_own(started: Start) -> None:
    pid = started("/bin/sleep", "600").pid
    assert _of(pid, os.getpid()) == ((), ())


def test_what_a_process_has_set_is_its_own(special: int) -> None:
    (had,), (priority,) = _of(special, os.getpid())
    assert (had.pid, had.personality, had.coredump_filter) == (special, 0x20000, 0x21)
    assert priority == IoPriority(special, _IDLE)
    (had,), (priority,) = _of(special, special)  # it is the session's leader itself
    assert (had.personality, priority.value) == (0x20000, _IDLE)


def test_what_can_be_set_from_outside_is_given_back(started: Start, special: int) -> None:
    (had,), (priority,) = _of(special, os.getpid())
    pid = started("/bin/sleep", "600").pid
    ended = 2**22
    attributes.put_back(
        [had._replace(pid=ended), had._replace(pid=pid)],
        [priority._replace(tid=ended), priority._replace(tid=pid)],
    )
    assert system_calls.io_priority(pid) == _IDLE
    assert Path(f"/proc/{pid}/coredump_filter").read_text() == "00000021\n"


@pytest.mark.parametrize(
    ("line", "policy", "nodes"),
    [
        ("55d3c4 default file=/bin/x mapped=2 N0=2", 0, ""),
        ("55d3c4 local anon=1", 4, ""),
        ("55d3c4 interleave:0-3,8 file=/bin/x", 3, "0-3,8"),
        ("55d3c4 bind=static:1 heap", 2 | 1 << 15, "1"),
        ("55d3c4 bind=relative|balancing:0-1", 2 | 1 << 14 | 1 << 13, "0-1"),
        ("55d3c4 prefer (many):0-1 stack", 5, "0-1"),
        ("55d3c4 weighted interleave:0-1", 6, "0-1"),
        ("55d3c4 prefer:2", 1, "2"),
        ("55d3c4 something new:2", 0, ""),
        ("", 0, ""),
    ],
)
def test_a_policy_is_read_as_the_kernel_writes_it(
    line: str, policy: int, nodes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attributes, "_first", lambda pid, name: line)
    assert attributes._memory_policy(1) == (policy, nodes)


def test_a_library_is_told_what_processes_had() -> None:
    had = [
        _USUAL._replace(pid=7, personality=8),
        _USUAL._replace(pid=9, memory_policy=3, nodes="0"),
    ]
    ceiling = core_images.CEILING._replace(attributes=tuple(had))
    assert attributes.environment(core_images.CEILING) == {}
    assert attributes.environment(ceiling) == {
        "TORQUECKPT_ATTRIBUTES": ";7:8:50000:0:;9:0:50000:3:0",
    }
    many = ceiling._replace(attributes=tuple(_USUAL._replace(pid=each) for each in range(20_000)))
    assert attributes.environment(many) == {}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("library") / "attributes.so"
    source = Path(__file__).resolve().parents[2] / "criu-plugin" / "attributes.c"
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-o", made, source], check=True)
    except FileNotFoundError:
        pytest.skip("no C compiler")
    return made


# A child that is told of asks for its number; one below it, that is not told of, asks then.
_FAMILY = """
import ctypes, os
libc = ctypes.CDLL(None)
def tell():
    libc.getpid()
    policy = open("/proc/self/numa_maps").readline().split()[1]
    told = open("/proc/self/personality").read().strip()
    os.write(1, f"{told} {libc.prctl(30, 0, 0, 0, 0)} {policy};".encode())
def below(act):
    if os.fork() == 0:
        act()
        os._exit(0)
    os.wait()
def first():
    tell()
    below(tell)
below(first)
tell()
"""


def test_a_process_takes_its_own_and_its_children_what_there_was_before(
    library: Path, root: None, tmp_path: Path
) -> None:
    """In a process namespace of its own, where numbers are known beforehand."""
    shell = f'exec {sys.executable} -c "$1"'
    argv = ["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", shell, "sh", _FAMILY]
    environment = {
        **os.environ,
        "LD_PRELOAD": str(library),
        "TORQUECKPT_ATTRIBUTES": ";2:131072:7:3:0",
    }
    done = subprocess.run(argv, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    first, child, parent, _ = done.stdout.split(";")
    if not first.endswith("interleave:0"):
        pytest.skip("this kernel has no NUMA")
    assert first == "00020000 7 interleave:0"
    assert child == parent == "00000000 50000 default"
