# SPDX-License-Identifier: MIT
"""Root's programs begin the same whatever they were started with, or do not begin at all."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest

from tests import hostile
from tests.support import LIMIT_SECONDS, REPOSITORY
from torqueckpt.errors import NeedsRoot, OddBeginning

_KERNEL = [int(number) for number in re.findall("[0-9]+", os.uname().release)[:2]]

# Prints its state before begin(), after it, and once more after put_back().
_SHOW = """\
import ctypes, json, os, resource, signal, sys
sys.path.insert(0, {path!r})
from torqueckpt.errors import TorqueCkptError
from torqueckpt.rights import begin
libc = ctypes.CDLL(None)

def asked(option):
    answer = ctypes.c_int()
    libc.prctl(option, ctypes.byref(answer), 0, 0, 0)
    return answer.value

def state():
    rows = dict(row.split(":", 1) for row in open("/proc/self/status") if ":" in row)
    def inherited(fd):
        try:
            return os.get_inheritable(fd)
        except OSError:
            return False
    try:
        cwd = os.getcwd()
    except FileNotFoundError:
        cwd = "gone"
    return {{
        "umask": rows["Umask"].strip(),
        # what Python itself has ignored is SIGPIPE and SIGXFSZ; 32 and 33 are the C library's
        "ignored": [
            n for n in range(1, 65) if int(rows["SigIgn"], 16) & 1 << n - 1 and n not in (32, 33)
        ],
        "held back": [n for n in range(1, 65) if int(rows["SigBlk"], 16) & 1 << n - 1],
        "timers": [signal.getitimer(each)[0] > 0 for each in (0, 1, 2)],
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "policy": os.sched_getscheduler(0),
        "cpus": sorted(os.sched_getaffinity(0)),
        "oom": int(open("/proc/self/oom_score_adj").read()),
        "personality": libc.personality(0xffffffff),
        "subreaper": asked(37),
        "pdeathsig": asked(2),
        "slack": libc.prctl(30, 0, 0, 0, 0),
        "ioprio": libc.syscall(252, 1, 0),
        "limits": {{
            name: resource.getrlimit(getattr(resource, "RLIMIT_" + name))
            for name in ("CPU", "FSIZE", "NOFILE", "CORE", "AS", "DATA", "STACK")
        }},
        "cwd": cwd,
        "inherited": [fd for fd in range(3, 200) if inherited(fd)],
        "open": [fd for fd in range(3, 200) if os.path.exists(f"/proc/self/fd/{{fd}}")],
    }}

before = state()
{first}
try:
    begin.begin("door", from_users=sys.argv[1] == "users")
except TorqueCkptError as refusal:
    print(json.dumps([str(refusal), refusal.exit_code]))
else:
    after = state()
    begin.put_back()
    print(json.dumps([before, after, state()]))
"""


def _states(
    *ways: str, caller: str = "users", first: str = "", inside: tuple[str, ...] = ()
) -> Any:
    """The states of a program that was started in these ways, by the program `inside`."""
    text = _SHOW.format(path=str(REPOSITORY), first=first)
    argv = hostile.argv(ways, *inside, sys.executable, "-I", "-c", text, caller)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_SECONDS)
    if "not possible here" in done.stderr:
        pytest.skip(f"{', '.join(ways)}: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# What a way leaves, by the name that it has in a state.
_LEAVES = {
    "umask": "umask",
    "ignored signals": "ignored",
    "held back signals": "held back",
    "timers": "timers",
    "nice": "nice",
    "idle class": "policy",
    "one cpu": "cpus",
    "oom_score_adj": "oom",
    "personality": "personality",
    "subreaper": "subreaper",
    "pdeathsig": "pdeathsig",
    "timer slack": "slack",
    "ioprio": "ioprio",
    "soft limits": "limits",
    "core": "limits",
    "gone directory": "cwd",
}
# Given back to what becomes the job; the rest it has of its image, or is root's own.
_JOBS = ("nice", "policy", "cpus", "oom", "slack", "ioprio")


@pytest.fixture(scope="module")
def usual(root: None) -> Any:
    return _with_files_enough(_states()[1])


def _with_files_enough(state: Any) -> Any:
    """Of those it gets no more than it needs."""
    assert state["limits"].pop("NOFILE")[0] >= 1024
    return state


@pytest.mark.parametrize("way", _LEAVES)
def test_what_a_caller_leaves_is_gone_once_it_has_begun(usual: Any, way: str) -> None:
    before, after, _ = _states(way)
    assert before[_LEAVES[way]] != usual[_LEAVES[way]], "the caller has left nothing"
    assert _with_files_enough(after) == usual


def test_all_of_it_together_is_gone_too_and_the_jobs_own_is_put_back(usual: Any) -> None:
    before, after, then = _states(*hostile.BY_ANYBODY)
    assert _with_files_enough(after) == usual
    for name in _JOBS:
        assert before[name] != after[name] and then[name] == before[name], name
    for name in ("CPU", "FSIZE", "CORE"):
        assert then["limits"][name] == before["limits"][name] != after["limits"][name]
    assert then["timers"] == after["timers"] and then["ignored"] == after["ignored"]


def test_what_another_has_opened_is_closed_or_not_passed_on(root: None) -> None:
    before, after, _ = _states("descriptors", caller="users")
    assert 77 in before["inherited"] and after["open"] == []
    before, after, _ = _states("descriptors", caller="a MOM")
    assert 77 in after["open"] and after["inherited"] == []


@pytest.mark.skipif(_KERNEL < [6, 14], reason="none may before Linux 6.14")
def test_securebits_that_any_user_may_set_are_no_reason_to_refuse(usual: Any) -> None:
    assert _with_files_enough(_states("exec securebits")[1]) == usual


@pytest.mark.parametrize(
    ("way", "told"),
    [
        ("no_setuid_fixup", "securebits 0x4;"),
        ("locked securebits", "securebits 0xc;"),
        ("no root", "securebits 0x1;"),
        ("no ambient raise", "securebits 0x40;"),
        ("inheritable", "inheritable capabilities (0x1000)"),
        ("ambient", "(0x1000)"),
        ("bounding", "lacks capabilities that process 1 has (0x40)"),
        ("no_new_privs", "no_new_privs, which process 1 has not"),
        ("seccomp", "seccomp filter that process 1 has not"),
        ("another real id", "its user ids are 65534, 0, 0"),
        ("hard limit", "its limit fsize is 4096, and cannot be raised"),
    ],
)
def test_rights_that_root_has_not_by_himself_are_refused(root: None, way: str, told: str) -> None:
    message, code = _states(way)
    assert told in message and message.startswith("door does not begin: ")
    assert code == OddBeginning.exit_code


def test_a_capability_less_that_no_program_here_needs_is_no_reason_to_refuse(usual: Any) -> None:
    lacking = "done(libc.prctl(24, 16, 0, 0, 0))"  # sys_module, as ProtectKernelModules= has it
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(hostile.BY_ROOT, "hardened unit", lacking)
        assert _with_files_enough(_states("hardened unit")[1]) == usual


@pytest.mark.parametrize("way", ["inheritable", "bounding", "no_new_privs", "seccomp"])
def test_what_the_whole_container_is_started_with_is_no_reason_to_refuse(
    usual: Any, way: str
) -> None:
    unshare = ("/usr/bin/unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    container = (*unshare, "/bin/sh", "-c", '"$@"; exit $?', "sh")
    assert _with_files_enough(_states(way, inside=container)[1]) == usual


def test_with_fewer_capabilities_in_effect_than_root_has_it_does_not_begin(root: None) -> None:
    """No exec leaves that; a program that was tricked might."""
    lost = (
        "header = (ctypes.c_uint32 * 2)(0x20080522, 0)\n"
        "words = (ctypes.c_uint32 * 6)()\n"
        "libc.capget(header, words)\n"
        "words[0] &= ~2\n"
        "libc.capset(header, words)\n"
    )
    message, code = _states(first=lost)
    assert "of root's capabilities" in message and code == OddBeginning.exit_code


def test_who_is_not_root_at_all_is_told_so(root: None) -> None:
    _, code = _states(first="os.setresuid(65534, 65534, 65534)")
    assert code == NeedsRoot.exit_code
