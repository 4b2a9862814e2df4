# SPDX-License-Identifier: MIT
"""Find what CRIU, run as the job's owner, cannot save (measured on 4.2.1; docs/resources.md).

A check is strict in one direction only: it refuses nothing that CRIU would have dumped and
restored.  The tests have CRIU itself refuse each of these.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Iterator

from torqueckpt import paths
from torqueckpt.checkpointers.criu import descriptors, watches
from torqueckpt.checkpointers.criu.sockets import (
    relative_paths,
    tcp_connections,
    unix_connections,
    unknown_sockets,
    unread,
)
from torqueckpt.findings import HAZARD, NOTE, REFUSED, Finding
from torqueckpt.process import open_files
from torqueckpt.process.other_names import DELETED, opened
from torqueckpt.process.proc import Stat
from torqueckpt.process.resources import Holdings, detail, finding, status_of, waits_in

GHOST_LIMIT_MIB = 64

_SAVED = {f"anon_inode:[{name}]" for name in ("eventfd", "eventpoll", "signalfd", "timerfd")}
_SAVED |= {"anon_inode:[pidfd]", watches.INOTIFY}
_NO_IO_URING = paths.installation() / "preload" / "no-io-uring.so"
_REMEDIES = {
    "io_uring": f"start it with LD_PRELOAD={_NO_IO_URING} (torchrun, Node: all that have libuv), or"
    " have it use ordinary reads and writes",
    "fanotify": "have it watch with inotify (fsnotifywait --inotify)",
    "userfaultfd": "checkpoint when the program has closed it",
    "perf_event": "start it without perf",
}
_GPUS = ("/dev/nvidia", "/dev/dri/", "/dev/kfd")
_MEMORY, _TERMINALS = 1, {4, 5, *range(136, 144)}  # major numbers; memory: null, zero, urandom
_TUNNEL = os.makedev(10, 200)
_VFORK = ("kernel_clone", "_do_fork")  # where the kernel waits, newer and older
_VFORK_SECONDS, _LOOK_SECONDS = 0.5, 0.002
# How CRIU chooses numbers for its own descriptors in a restored process (choose_service_fd_base()).
_RESTORES_OWN_FILES, _FILES_AT_ONCE = 33, 128
_MQUEUE_BYTES = 80  # FILENT_SIZE of the kernel's ipc/mqueue.c
_SILLY = re.compile(r"\.nfs[0-9a-f]{24}")  # what NFS makes of the name of a deleted file
_KEEP_NAME = "have the program keep the file's name"

Check = Callable[[Holdings], Iterator[Finding]]


def findings(held: Holdings) -> list[Finding]:
    return [each for check in _CHECKS for each in check(held)]


def _processes(held: Holdings) -> Iterator[Finding]:
    for pid in held.unreadable:
        what = "it may be executed but not be read, or has made itself undumpable"
        yield finding(REFUSED, held.tree[pid], "its program", what, "run a copy that is readable")
    for pid, status in held.status.items():
        process = held.tree[pid]
        tracer = status.get("TracerPid", "0")
        if tracer != "0":
            what = "it is traced, and CRIU has to trace it itself"
            yield finding(REFUSED, process, f"tracer {tracer}", what, "end the debugger or strace")
        if status.get("Seccomp", "0") != "0":
            what = "only root's CRIU could lift it for the dump"
            remedy = "run the program without its sandbox"
            yield finding(REFUSED, process, "its seccomp filter", what, remedy)
        if held.namespaces[pid]:
            thing = f"its own {', '.join(held.namespaces[pid])} namespace"
            what = "CRIU dumps these only as root"
            yield finding(REFUSED, process, thing, what, "run it outside of containers and unshare")


def _forking(held: Holdings) -> Iterator[Finding]:
    """Find processes in vfork: CRIU tries for ten seconds to stop one, all others being frozen.

    A shell is there for a moment with each program that it starts: that passes.
    """
    until = time.monotonic() + _VFORK_SECONDS
    found = [each for each in held.tree.values() if each.state == "D"]
    while found := [each for each in found if waits_in(each.pid) in _VFORK]:
        if time.monotonic() > until:
            break
        time.sleep(_LOOK_SECONDS)
    for process in found:
        what = "it waits for its child to run a program, and CRIU cannot stop it meanwhile"
        yield finding(REFUSED, process, "vfork", what, "checkpoint again when it has")


def _anonymous(held: Holdings) -> Iterator[Finding]:
    """Find descriptors without a file, of kinds that CRIU refuses."""
    seen = [(pid, to) for pid, _, to in held.links] + [(m.pid, m.what) for m in held.mapped]
    for pid, to in dict.fromkeys(seen):
        if not to.startswith("anon_inode:") or to in _SAVED:
            continue
        name = to[len("anon_inode:") :].strip("[]")
        remedy = _REMEDIES.get(name, "close it before the checkpoint")
        yield finding(REFUSED, held.tree[pid], name, "CRIU does not save it for a user", remedy)


def _pidfds(held: Holdings) -> Iterator[Finding]:
    for pid, fd, to in held.links:
        if not to.startswith(("pidfd:", "anon_inode:[pidfd]")):
            continue
        other = detail(pid, fd, "Pid")
        if other.isdigit() and int(other) not in held.tree:
            what = "that process is not in the job's tree"
            yield finding(REFUSED, held.tree[pid], f"pidfd of {other}", what, "close it before")


def _ipc(held: Holdings) -> Iterator[Finding]:
    for each in held.mapped:
        if each.what.startswith("/SYSV"):
            what = "CRIU does not save SysV shared memory"
            remedy = "have the program use POSIX shared memory (MPICH, UCX: UCX_TLS=^sysv)"
            key = each.what.split()[0][len("/SYSV") :]
            thing = f"SysV segment 0x{key}"
            yield finding(REFUSED, held.tree[each.pid], thing, what, remedy)
    for link in held.links:
        # The kernel's mount of these is not a directory's: their names stand behind one slash.
        if link[2].startswith("/") and link[2].count("/") == 1:
            found = status_of(link)
            if found is not None and _is_message_queue(found):
                what = "CRIU does not save a POSIX message queue"
                remedy = "have the program use a pipe or a socket"
                yield finding(REFUSED, held.tree[link[0]], link[2], what, remedy)


def _is_message_queue(found: os.stat_result) -> bool:
    small = found.st_size == _MQUEUE_BYTES and found.st_blocks == 0
    return stat.S_ISREG(found.st_mode) and small and found.st_dev != os.stat("/").st_dev


def _sysv_by_id(held: Holdings) -> Iterator[Finding]:
    """Find the user's semaphores and queues: the kernel does not tell which process uses them."""
    root = next(iter(held.tree.values()), None)
    if root is None:
        return
    uid = str(os.geteuid())
    for table, column, thing in (("sem", 4, "SysV semaphores"), ("msg", 7, "SysV message queue")):
        for row in _rows(f"/proc/sysvipc/{table}"):
            mine = row[column] == uid
            if table == "msg":  # the last sender and receiver are known
                mine = mine and bool({int(row[5]), int(row[6])} & set(held.tree))
            if mine:
                what = "not in the image: there after a restart only while this node stays up"
                remedy = "resume on this node before it is booted again, if the job uses it"
                yield finding(HAZARD, root, f"{thing} {row[1]}", what, remedy)


def _deleted(held: Holdings) -> Iterator[Finding]:
    named = {(each.device, each.inode) for each in held.other_names}
    for each in opened(held.links):
        if (each.device, each.inode) not in named:
            what = "deleted, while the file has another name, which is not beside it"
            remedy = "open the file by its other name"
            yield finding(REFUSED, held.tree[each.pid], each.path, what, remedy)
    for link in held.links:
        process, thing = held.tree[link[0]], link[2][: -len(DELETED)]
        if _SILLY.fullmatch(os.path.basename(link[2])):
            what = "deleted on another machine's file system, which then takes the file away"
            yield finding(REFUSED, process, link[2], what, _KEEP_NAME)
        if not link[2].endswith(DELETED) or link[2].startswith(("/memfd:", "/SYSV")):
            continue
        found = status_of(link)
        if found is None or not stat.S_ISREG(found.st_mode) or os.path.lexists(link[2]):
            continue
        if not found.st_nlink and found.st_blocks * 512 > GHOST_LIMIT_MIB << 20:
            what = f"deleted, and larger than the {GHOST_LIMIT_MIB} MiB that go into an image"
            yield finding(REFUSED, process, thing, what, _KEEP_NAME)


def highest_descriptor(hard_limit: int) -> int:
    """The highest number that a restored process can have open: above it CRIU has its own."""
    return hard_limit - hard_limit % _FILES_AT_ONCE - _RESTORES_OWN_FILES


def _numbers_of_files(held: Holdings) -> Iterator[Finding]:
    """Find descriptors so near the hard limit that a restore has no numbers left for its own."""
    root = next(iter(held.tree.values()), None)
    limit = open_files.hard_limit(root.ppid) if root is not None else None
    if limit is None:
        return
    highest: dict[int, int] = {}
    for pid, fd, _ in held.links:
        highest[pid] = max(fd, highest.get(pid, fd))
    for pid, fd in highest.items():
        if fd > highest_descriptor(limit):
            what = f"a restart needs some numbers above it, and {limit} is the hard limit"
            remedy = "raise that limit for jobs, or have the program stay below it"
            yield finding(REFUSED, held.tree[pid], f"descriptor {fd}", what, remedy)


def _devices(held: Holdings) -> Iterator[Finding]:
    masters = {detail(pid, fd, "tty-index") for pid, fd, to in held.links if to.endswith("/ptmx")}
    for link in held.links:
        process, to = held.tree[link[0]], link[2]
        if not to.startswith("/dev/") or to.startswith(("/dev/shm/", "/dev/null")):
            continue
        found = status_of(link)
        if found is None or not (stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode)):
            continue
        if stat.S_ISBLK(found.st_mode) or not _is_saved(found.st_rdev):
            yield _device(process, to)
        elif os.major(found.st_rdev) in _TERMINALS and not _is_own_terminal(to, masters):
            what = "a terminal that is not the job's own cannot be given back at a restart"
            remedy = "interactive jobs are not checkpointed: submit it as a batch job"
            yield finding(REFUSED, process, to, what, remedy)
    for each in held.mapped:
        if each.what.startswith(_GPUS):
            yield _device(held.tree[each.pid], each.what)


def _is_saved(device: int) -> bool:
    return device == _TUNNEL or os.major(device) in {_MEMORY, *_TERMINALS}


def _is_own_terminal(name: str, masters: set[str]) -> bool:
    """Whether a pseudo terminal's other side is in the tree, or nobody has it any more."""
    last = name.rpartition("/")[2]
    return last in masters or last == "ptmx" or (last == "tty" and bool(masters)) or " " in last


def _device(process: Stat, name: str) -> Finding:
    if name.startswith(_GPUS):
        what = "CRIU does not save what a program has on a GPU"
        return finding(REFUSED, process, name, what, "have the program write its own checkpoints")
    return finding(REFUSED, process, name, "CRIU does not know this device", "close it before")


def _pinned(held: Holdings) -> Iterator[Finding]:
    """Find processes with CPUs of their own, which the new job may not have."""
    root = next(iter(held.tree.values()), None)
    usual = _cpus(root.ppid) if root is not None else set()
    for pid, process in held.tree.items():
        mine = _cpus(pid)
        if mine and usual and mine != usual:
            thing = f"CPUs {','.join(map(str, sorted(mine)))}"
            what = "pinned to them, and again after a restart if its new job has them all"
            yield finding(NOTE, process, thing, what, "else pin it again, for its speed")


def _cpus(pid: int) -> set[int]:
    try:
        return os.sched_getaffinity(pid)
    except OSError:
        return set()


def _rows(table: str) -> list[list[str]]:
    try:
        with open(table) as file:
            return [line.split() for line in file.readlines()[1:]]
    except OSError:
        return []


_CHECKS: tuple[Check, ...] = (
    _processes,
    _forking,
    _anonymous,
    _pidfds,
    _ipc,
    _sysv_by_id,
    _deleted,
    _numbers_of_files,
    descriptors.kernels_files,
    descriptors.names_only,
    descriptors.packet_pipes,
    descriptors.unusual_memory,
    descriptors.watched_by_epoll,
    descriptors.half_ended,
    _devices,
    unknown_sockets,
    unread,
    unix_connections,
    relative_paths,
    tcp_connections,
    _pinned,
)
