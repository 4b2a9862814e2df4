# SPDX-License-Identifier: MIT
"""Begin a program of root's: refuse odd rights, reset what its caller has left it.

sudo and MOMs pass on a good deal of their caller's state: timers, ignored signals, limits, nice,
securebits.  begin() is for the hooks that a MOM calls, the door, and the periodic service;
refuse_odd_rights() for commands that root types, whose nice or alarm is his own wish.

The session keyring is left alone: on AFS a job's tokens are in it, and a restored one needs them.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from torqueckpt.errors import NeedsRoot, OddBeginning
from torqueckpt.manifest import UNLIMITED
from torqueckpt.process import proc, system_calls

_libc = ctypes.CDLL(None)  # for calls that Python does not have
_USUAL_SLACK_NS = 50_000
_GUARDED = 0xFF  # of the securebits; those above any user may set since Linux 6.14
_AS_IT_IS = 0xFFFFFFFF  # personality(2)
_UNLIMITED = -1
_ALL_LIMITS = 16  # RLIM_NLIMITS
_IGNORED_BY_PYTHON = 1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1)
_OOM = "/proc/self/oom_score_adj"
# chown, dac_override, fowner, kill, setgid, setuid, setpcap, sys_ptrace: without these a program of
# root's does half of what it should.  A unit's ProtectKernelModules= and its like take others.
_NEEDED = sum(1 << number for number in (0, 1, 3, 5, 6, 7, 8, 19))
_MIB = 1 << 20
# Limits that end a program midway: to what they are raised where root may do that, and below what
# it does not begin.
_LIMITS = {
    "CPU": (_UNLIMITED, 10),
    "FSIZE": (_UNLIMITED, 16 * _MIB),
    "AS": (_UNLIMITED, 128 * _MIB),
    "DATA": (_UNLIMITED, 64 * _MIB),
    "STACK": (8 * _MIB, _MIB),
    "NOFILE": (1024, 64),
}


class Arrived(NamedTuple):
    """What the caller had, that put_back() gives to the programs of the owner's."""

    nice: int
    policy: int  # sched(7)
    priority: int
    cpus: frozenset[int]
    oom_score_adj: int
    ioprio: int
    slack_ns: int
    limits: tuple[tuple[int, tuple[int, int]], ...]


class _Status(NamedTuple):
    """The rights that /proc/PID/status shows, and which signals are ignored."""

    inheritable: int
    permitted: int
    effective: int
    bounding: int
    ambient: int
    no_new_privs: int
    filters: int
    ignored: int


_arrived: list[Arrived] = []  # by begin() in this process


def begin(program: str, from_users: bool = False) -> Arrived:
    """Refuse what no program of root's should have, and reset the rest; gives what there was.

    OddBeginning, NeedsRoot.  from_users: descriptors from 3 are closed; of a MOM's they stay open,
    and no other program inherits them.
    """
    if 0 not in os.getresuid():
        raise NeedsRoot(what=program, remedy="MOM starts it, or sudo for `torqueckpt resume`")
    for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        signal.setitimer(timer, 0)
    mine = _status("self")
    _hear_signals(mine.ignored)
    init = _status_of_init(mine)
    _refuse(program, [*_odd_rights(mine, init), *_bound(mine, init)])
    os.umask(0o077)
    os.chdir("/")
    arrived = _arrival()
    _reset(arrived)
    _raise_limits(program)
    _keep_descriptors(from_users)
    _arrived[:] = [arrived]
    return arrived


def refuse_odd_rights(program: str) -> None:
    """For a command: OddBeginning where it has some of root's rights, and not as root has them."""
    if 0 in os.getresuid():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, no program's failure is seen
        mine = _status("self")
        _refuse(program, _odd_rights(mine, _status_of_init(mine)))


def hard_limits() -> tuple[int, ...]:
    """The hard limits of a program after put_back(), by number, or UNLIMITED."""
    given = {limit: hard for had in _arrived for limit, (_, hard) in had.limits}
    found = (given.get(each, resource.getrlimit(each)[1]) for each in range(_ALL_LIMITS))
    return tuple(UNLIMITED if each == _UNLIMITED else each for each in found)


def put_back() -> None:
    """Give this process, which becomes the owner's or has become so, what the caller had.

    For the child that is about to be the owner's program, and a supervisor after drop().  Does
    nothing where there was no begin().  What the kernel refuses stays as it is: no job is lost for
    it.
    """
    for had in _arrived:
        with suppress(OSError):
            os.sched_setaffinity(0, had.cpus)
        with suppress(OSError):
            os.sched_setscheduler(0, had.policy, os.sched_param(had.priority))
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, had.nice)
        with suppress(OSError):
            _write_oom(had.oom_score_adj)
        if had.ioprio:
            system_calls.set_io_priority(0, had.ioprio)
        with suppress(OSError):
            system_calls.prctl(system_calls.SET_TIMERSLACK, had.slack_ns)
        for limit, (soft, hard) in had.limits:
            now = resource.getrlimit(limit)[0]
            if limit == resource.RLIMIT_NOFILE and now > _LIMITS["NOFILE"][0]:
                soft = _lower(hard, now)  # raised since, for a pre-dump
            with suppress(OSError, ValueError):
                resource.setrlimit(limit, (soft, hard))


def _refuse(program: str, found: Iterable[tuple[str, str]]) -> None:
    for what, remedy in found:
        raise OddBeginning(program=program, what=what, remedy=remedy)


def _odd_rights(mine: _Status, init: _Status) -> Iterator[tuple[str, str]]:
    """Ids, securebits and capabilities other than exec gives to root: what, and what to do."""
    ids = os.getresuid()
    if any(ids):
        told = ", ".join(map(str, ids))
        yield f"its user ids are {told}, not root's alone", "start it as root, or as a user"
    bits = system_calls.prctl(system_calls.GET_SECUREBITS) & _GUARDED
    if bits:
        yield f"it was started with securebits {bits:#x}", "log in anew, and look who set them"
    for name, more in (
        ("inheritable", mine.inheritable & ~init.inheritable),
        ("ambient", mine.ambient & ~init.ambient),
    ):
        if more:
            yield (
                f"it was started with {name} capabilities ({more:#x})",
                "take them from the service or the login (pam_cap) that it comes from",
            )
    fewer = init.bounding & ~mine.bounding & _NEEDED
    if fewer:
        yield (
            f"its bounding set lacks capabilities that process 1 has ({fewer:#x})",
            "take CapabilityBoundingSet= out of the unit that it comes from",
        )
    if mine.permitted != mine.bounding | mine.inheritable or mine.effective != mine.permitted:
        yield (
            f"of root's capabilities ({mine.bounding:#x}) it has {mine.effective:#x}",
            "start it as root, with all that root has",
        )


def _bound(mine: _Status, init: _Status) -> Iterator[tuple[str, str]]:
    """What would go on into the job for ever."""
    if mine.no_new_privs > init.no_new_privs:
        yield (
            "it was started with no_new_privs, which process 1 has not",
            "take NoNewPrivileges= out of the unit that it comes from",
        )
    if mine.filters > init.filters:
        yield (
            "it was started below a seccomp filter that process 1 has not",
            "take SystemCallFilter= and Protect…= out of the unit that it comes from",
        )


def _status_of_init(mine: _Status) -> _Status:
    """Of process 1, which begins whatever this machine or container runs."""
    try:
        return _status("1")
    except OSError:  # hidden, even from root
        return mine._replace(inheritable=0, ambient=0, no_new_privs=0, filters=0)


def _status(pid: str) -> _Status:
    text = proc.status(pid)

    def number(name: bytes, base: int) -> int:
        return int(proc.row(text, name) or b"0", base)  # an older kernel lacks some

    return _Status(
        inheritable=number(b"CapInh", 16),
        permitted=number(b"CapPrm", 16),
        effective=number(b"CapEff", 16),
        bounding=number(b"CapBnd", 16),
        ambient=number(b"CapAmb", 16),
        no_new_privs=number(b"NoNewPrivs", 10),
        filters=number(b"Seccomp_filters", 10) or number(b"Seccomp", 10),
        ignored=number(b"SigIgn", 16),
    )


def _hear_signals(ignored: int) -> None:
    """Have no signal ignored, but those that Python itself ignores, and none held back."""
    by_the_caller = ignored & ~_IGNORED_BY_PYTHON
    for each in range(1, by_the_caller.bit_length() + 1):
        if by_the_caller >> (each - 1) & 1:
            with suppress(OSError):  # two are the C library's own
                signal.signal(each, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _arrival() -> Arrived:
    with open(_OOM) as file:
        oom = int(file.read())
    limits = (getattr(resource, f"RLIMIT_{name}") for name in (*_LIMITS, "CORE"))
    return Arrived(
        nice=os.getpriority(os.PRIO_PROCESS, 0),
        policy=os.sched_getscheduler(0),
        priority=os.sched_getparam(0).sched_priority,
        cpus=frozenset(os.sched_getaffinity(0)),
        oom_score_adj=oom,
        ioprio=system_calls.io_priority(0),
        slack_ns=system_calls.prctl(system_calls.GET_TIMERSLACK),
        limits=tuple((each, resource.getrlimit(each)) for each in limits),
    )


def _reset(arrived: Arrived) -> None:
    """Be scheduled, and spared when memory is short, as process 1's children are.

    Without the capabilities for it (in a container) what does not work stays as it is.
    """
    if arrived.policy != os.SCHED_OTHER:
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    if arrived.nice > 0:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, 0)
    with suppress(OSError):  # or the cpuset that it is in has none of those
        cpus = os.sched_getaffinity(1)
        if cpus != arrived.cpus:
            os.sched_setaffinity(0, cpus)
    if arrived.oom_score_adj > 0:
        with suppress(OSError):
            _write_oom(0)
    if arrived.ioprio:
        system_calls.set_io_priority(0, 0)
    if arrived.slack_ns != _USUAL_SLACK_NS:
        system_calls.prctl(system_calls.SET_TIMERSLACK, _USUAL_SLACK_NS)
    if _libc.personality(_AS_IT_IS):
        _libc.personality(0)
    system_calls.prctl(system_calls.SET_PDEATHSIG, 0)
    system_calls.prctl(system_calls.SET_CHILD_SUBREAPER, 0)


def _raise_limits(program: str) -> None:
    for name, (wanted, least) in _LIMITS.items():
        limit = getattr(resource, f"RLIMIT_{name}")
        soft, hard = resource.getrlimit(limit)
        raised = _higher(soft, wanted), _higher(hard, wanted)
        if raised == (soft, hard):
            continue
        try:
            resource.setrlimit(limit, raised)
        except ValueError:  # without sys_resource nobody gets beyond the hard limit
            resource.setrlimit(limit, (hard, hard))
            if _higher(hard, least) != hard:
                raise OddBeginning(
                    program=program,
                    what=f"its limit {name.lower()} is {hard}, and cannot be raised",
                    remedy=f"start it with {least} at least (ulimit -H)",
                ) from None
    # Its memory holds the key.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _higher(one: int, other: int) -> int:
    """The higher of two limits."""
    return _UNLIMITED if _UNLIMITED in (one, other) else max(one, other)


def _lower(one: int, other: int) -> int:
    return max(one, other) if _UNLIMITED in (one, other) else min(one, other)


def _keep_descriptors(from_users: bool) -> None:
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd > 2:
            with suppress(OSError):  # the one that has listed them
                if from_users:
                    os.close(fd)
                else:
                    os.set_inheritable(fd, False)


def _write_oom(value: int) -> None:
    with open(_OOM, "w") as file:
        file.write(str(value))
