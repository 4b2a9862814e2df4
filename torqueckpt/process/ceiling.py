# SPDX-License-Identifier: MIT
"""Record the most that a job's processes have, as the kernel tells it, and give it back.

Nothing of the image is believed for it: CRIU, which writes that, counts as the owner's program.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from functools import reduce
from operator import or_
from typing import NamedTuple

from torqueckpt.manifest import UNLIMITED, BoundThread, Ceiling
from torqueckpt.process import attributes, proc


class _Thread(NamedTuple):
    """Of one thread: its scheduling, and what /proc has as its status."""

    tid: int
    nice: int
    real_time: int
    policy: int
    status: bytes


def of_tree(tree: list[proc.Stat], leader_pid: int) -> Ceiling | None:
    """The ceiling of all processes of a tree and their threads; None when all have ended.

    Processes that appear until they are frozen are children of these, and have no more.
    leader_pid: whose CPUs are those that the batch system gave the job.
    """
    limits: list[tuple[int, ...]] = []
    oom_score_adj: list[int] = []
    threads: list[_Thread] = []
    for each in tree:
        if each.ended:
            continue
        try:
            hard, killed_first = _hard_limits(each.pid), _oom_score_adj(each.pid)
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended meanwhile
        limits.append(hard)
        oom_score_adj.append(killed_first)
        threads += _threads(each.pid)
    if not threads:
        return None

    own, io_priorities = attributes.of_tree(tree, leader_pid)

    def rows(name: bytes) -> list[bytes]:
        return [proc.row(each.status, name) for each in threads]

    return Ceiling(
        hard_limits=tuple(max(column) for column in zip(*limits)),
        nice=min(each.nice for each in threads),
        real_time=max(each.real_time for each in threads),
        idle=all(each.policy == os.SCHED_IDLE for each in threads),
        oom_score_adj=min(oom_score_adj),
        bounding=reduce(or_, (int(row, 16) for row in rows(b"CapBnd"))),
        groups=tuple(sorted({int(gid) for row in rows(b"Groups") for gid in row.split()})),
        no_new_privs=all(row == b"1" for row in rows(b"NoNewPrivs")),
        seccomp=min(int(row or b"0") for row in rows(b"Seccomp")),
        bound=_bound(threads, leader_pid),
        attributes=own,
        io_priorities=io_priorities,
    )


def take(had: Ceiling) -> None:
    """Be scheduled as the job was, and spared as little when memory is short.

    For a child that becomes the job, of a program that a daemon has started: what it has is the
    daemon's.  What the kernel refuses stays; no restart fails for it.  Real-time scheduling is not
    given: a restored process sets its own, as far as its RLIMIT_RTPRIO lets it.
    """
    with suppress(OSError):
        policy = os.SCHED_IDLE if had.idle else os.SCHED_OTHER
        os.sched_setscheduler(0, policy, os.sched_param(0))
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, had.nice)
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write(str(had.oom_score_adj))
    for limit in (resource.RLIMIT_NICE, resource.RLIMIT_RTPRIO):
        soft, hard = (UNLIMITED if each < 0 else each for each in resource.getrlimit(limit))
        most = had.hard_limits[limit]
        if most < hard:
            with suppress(OSError, ValueError, OverflowError):
                resource.setrlimit(limit, (min(soft, most), most))


def bind(had: Ceiling) -> None:
    """Give restored threads their own CPUs again, where all of these may be used here and now.

    And what else can be set from outside.  Called acting as their owner.
    """
    attributes.put_back(had.attributes, had.io_priorities)
    for each in had.bound:
        with suppress(OSError):  # it has ended
            cpus = {cpu for cpu in range(4 * len(each.cpus)) if int(each.cpus, 16) >> cpu & 1}
            if cpus <= os.sched_getaffinity(each.tid):
                os.sched_setaffinity(each.tid, cpus)


def _bound(threads: list[_Thread], leader_pid: int) -> tuple[BoundThread, ...]:
    given = next((_cpus(each) for each in _threads(leader_pid)), None)
    others = ((each.tid, _cpus(each)) for each in threads)
    return tuple(BoundThread(tid, cpus) for tid, cpus in others if given not in (None, cpus))


def _cpus(thread: _Thread) -> str:
    return proc.row(thread.status, b"Cpus_allowed").decode().replace(",", "")


def _threads(pid: int) -> Iterator[_Thread]:
    """Of all threads of a process that have not ended meanwhile."""
    try:
        names = os.listdir(f"/proc/{pid}/task")
    except (FileNotFoundError, ProcessLookupError):
        return
    for name in sorted(names, key=int):
        try:
            with open(f"/proc/{pid}/task/{name}/stat", "rb") as file:
                after_name = file.read().rpartition(b")")[2].split()
            status = proc.status(f"{pid}/task/{name}")
        except (FileNotFoundError, ProcessLookupError):
            continue
        nice, real_time, policy = (int(after_name[at]) for at in (16, 37, 38))
        yield _Thread(int(name), nice, real_time, policy, status)


def _hard_limits(pid: int) -> tuple[int, ...]:
    """In the order of their numbers, which is that of the lines."""
    with open(f"/proc/{pid}/limits") as file:
        next(file)
        values = [line[47:].split()[0] for line in file]
    return tuple(UNLIMITED if each == "unlimited" else int(each) for each in values)


def _oom_score_adj(pid: int) -> int:
    with open(f"/proc/{pid}/oom_score_adj") as file:
        return int(file.read())
