# SPDX-License-Identifier: MIT
"""Find the processes of a batch job, and this node's daemons.

A job's are told by their environment and session, not by their parents.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress

from torqueckpt.process import proc

_HOST_FILES = ("PBS_NODEFILE", "LSB_DJOB_HOSTFILE")


def job_of(pid: int) -> str:
    """The id of the job that a process was started in; "" for none or when unreadable."""
    return job_in(proc.environment(pid))


def job_in(environment: Mapping[str, str]) -> str:
    """The id of the job that an environment names (LSF's array members: 12[3]); "" for none."""
    if "PBS_JOBID" in environment:
        return environment["PBS_JOBID"]
    number, member = environment.get("LSB_JOBID", ""), environment.get("LSB_JOBINDEX", "0")
    return number if not number or member in ("", "0") else f"{number}[{member}]"


def leader_of_job(job: str, uid: int | None) -> proc.Stat | None:
    """The oldest session leader that was started in this job, as far as the caller may look.

    uid: of this user only; servers of several systems on one node give the same numbers.
    """
    all_of_them = proc.everything() if uid is None else _of_user(uid)
    found = [each for each in all_of_them if each.pid == each.session and not each.ended]
    leaders = [each for each in found if job_of(each.pid) == job]
    return min(leaders, key=lambda each: each.start_ticks, default=None)


def strays(tree: list[proc.Stat], leader_pid: int, uid: int) -> list[proc.Stat]:
    """Processes of the job that are neither in the tree nor above it: daemons that left it.

    Told by the session, or by the job's name in the environment that they were started with.  What
    is older than the job is of an earlier life of it.
    """
    root = tree[0]
    leader = proc.stat(leader_pid) or root
    begun = min(leader.start_ticks, root.start_ticks)
    job, upward = job_of(root.pid), {leader_pid, *above(root)}
    return [
        each
        for each in _of_user(uid, upward.union(each.pid for each in tree))
        if not each.ended
        and each.start_ticks >= begun
        and not upward & set(above(each))
        and (each.session in (leader_pid, root.session) or (job and job_of(each.pid) == job))
    ]


def hosts(pid: int) -> int:
    """How many nodes the job was given; 0 when unknown."""
    environment = proc.environment(pid)
    for name in _HOST_FILES:
        lines = _lines(environment.get(name, ""))
        if lines:
            return len({line.split()[0] for line in lines if line.strip()})
    return len(set(environment.get("LSB_HOSTS", "").split()))


def _lines(path: str) -> list[str]:
    """The lines of a regular file; none of anything else, since the job chose the path."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (OSError, ValueError):
        return []
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return []
        return file.read(1 << 20).decode("utf-8", "replace").splitlines()


def _of_user(uid: int, but: Collection[int] = ()) -> Iterator[proc.Stat]:
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) in but:
            continue
        with suppress(FileNotFoundError, ProcessLookupError):
            each = proc.stat(int(name)) if os.stat(f"/proc/{name}").st_uid == uid else None
            if each is not None:
                yield each


def above(process: proc.Stat) -> Iterator[int]:
    """The parents of a process, nearest first, up to but not including process 1."""
    parent: proc.Stat | None = process
    while parent is not None and parent.ppid > 1:
        yield parent.ppid
        parent = proc.stat(parent.ppid)


def of_job(job: str, uid: int) -> list[proc.Stat]:
    """All processes that a user started in this job, except our own session's and our parents."""
    me = proc.stat(os.getpid())
    apart = {os.getpid(), *above(me)} if me is not None else set()
    return [
        each
        for each in _of_user(uid)
        if each.pid not in apart and me is not None and each.session != me.session
        if not each.ended and job_of(each.pid) == job
    ]


def running(name: str) -> int:
    """The pid of root's oldest process of that name, outside of containers; 0 for none."""
    found = [each for each in proc.everything() if each.name == name and not each.ended]
    ours = [each for each in found if _is_roots_here(each.pid)]
    return min(ours, key=lambda each: each.start_ticks).pid if ours else 0


def _is_roots_here(pid: int) -> bool:
    credentials = proc.credentials(pid)
    try:
        here = os.readlink(f"/proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid")
    except OSError:  # it has ended
        return False
    return here and credentials is not None and credentials.uids[0] == 0
