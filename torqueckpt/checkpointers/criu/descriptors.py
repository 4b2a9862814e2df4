# SPDX-License-Identifier: MIT
"""Find what CRIU saves of most descriptors and programs, but not of these (measured on 4.2.1).

Of some its dump fails; of others the dump succeeds, and no restore of it ever does.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator

from torqueckpt.findings import HAZARD, REFUSED, Finding
from torqueckpt.process import proc
from torqueckpt.process.resources import Holdings, detail, finding, status_of

_OPENED = "CRIU does not save a descriptor that only names it (O_PATH)"
_EPOLL = "anon_inode:[eventpoll]"
_CLOSE = "close it before the checkpoint"
_SECRET = "/secretmem"
_TARGET = re.compile(r"tfd: *([0-9]+) .* ino:([0-9a-f]+)")


def kernels_files(held: Holdings) -> Iterator[Finding]:
    """Find files of /proc that are not there yet, or any more, when a restore opens them.

    Those of the tree's own processes are: their numbers come back, but threads begin last.  Of one
    that has ended, and is nobody's by now, CRIU makes another one up meanwhile.
    """
    inside = {*held.tree, *(each.pid for each in held.zombies)}
    for pid, fd, to in held.links:
        if not to.startswith("/proc/"):
            continue
        words = to.partition(" (deleted)")[0].split("/")
        if not words[2].isdigit():
            continue
        process, whose, thing = held.tree[pid], int(words[2]), f"descriptor {fd}, {to}"
        if len(words) > 4 and words[3] == "task" and words[4] != words[2]:
            what = "a restart opens it before that thread is there again"
            yield finding(REFUSED, process, thing, what, _CLOSE)
        elif whose in inside or proc.stat(whose) is None:
            continue
        elif len(words) == 3 or whose in _above(held):
            what = "of a process outside of the job, which a restart does not find again"
            yield finding(REFUSED, process, thing, what, _CLOSE)
        elif whose != 1:
            what = "of a process outside of the job, which must still be there at a restart"
            yield finding(HAZARD, process, thing, what, _CLOSE)


def names_only(held: Holdings) -> Iterator[Finding]:
    """Find descriptors that were opened with O_PATH, of sockets and FIFOs: files are restored."""
    named = {to: (pid, fd, to) for pid, fd, to in held.links if to.startswith("/")}
    for link in named.values():
        found = status_of(link)
        if found is None:
            continue
        if stat.S_ISSOCK(found.st_mode) or (stat.S_ISFIFO(found.st_mode) and _has(link, os.O_PATH)):
            yield finding(REFUSED, held.tree[link[0]], link[2], _OPENED, _CLOSE)


def packet_pipes(held: Holdings) -> Iterator[Finding]:
    pipes = (link for link in held.links if link[2].startswith("pipe:"))
    # Forked processes have the same ones, by the same numbers: to look at each takes long.
    for link in {(fd, to): (pid, fd, to) for pid, fd, to in pipes}.values():
        if _has(link, os.O_DIRECT):
            what = "CRIU does not save a pipe of packets (O_DIRECT)"
            remedy = "use a pipe without O_DIRECT, or a socketpair of SOCK_SEQPACKET"
            yield finding(REFUSED, held.tree[link[0]], link[2], what, remedy)


def unusual_memory(held: Holdings) -> Iterator[Finding]:
    """Find secret memory, memfds of huge pages, and programs that run from a memfd."""
    for pid, to in held.programs.items():
        if to.startswith("/memfd:"):
            what = "CRIU looks for a file that has this program, and there is none"
            yield finding(REFUSED, held.tree[pid], to, what, "run it from a file")
    secret = {pid for pid, _, to in held.links if to.startswith(_SECRET)}
    secret |= {each.pid for each in held.mapped if each.what.startswith(_SECRET)}
    for pid in sorted(secret):
        what, remedy = "nobody else can read it", "have the program use ordinary memory"
        yield finding(REFUSED, held.tree[pid], "secret memory (memfd_secret)", what, remedy)
    memfds = [link for link in held.links if link[2].startswith("/memfd:")]
    usual = _memfds_device() if memfds else 0
    for link in memfds:
        found = status_of(link)
        if found is not None and found.st_dev != usual:
            what = "CRIU does not save a memfd of huge pages"
            remedy = "have the program use ordinary or transparent huge pages"
            yield finding(REFUSED, held.tree[link[0]], link[2], what, remedy)


def watched_by_epoll(held: Holdings) -> Iterator[Finding]:
    """Find what an epoll watches although its process has closed it, another one having it too.

    Of processes that share an epoll the first counts, from which CRIU saves it: children may close
    what they have no use for.  Both ends of a pipe have one inode, so that of some CRIU alone finds
    it.
    """
    known = set()
    for pid, fd, to in held.links:
        if to != _EPOLL:
            continue
        watched = _watched(pid, fd)
        if watched in known:
            continue
        known.add(watched)
        opened = _names(f"/proc/{pid}/fd")
        for number, inode in watched:
            if str(number) in opened or inode in _inodes(pid, opened):
                continue
            thing = f"descriptor {number}, closed and still watched by an epoll"
            what = "CRIU does not find what it was"
            remedy = "have the program take it out of the epoll before it closes it"
            yield finding(REFUSED, held.tree[pid], thing, what, remedy)


def half_ended(held: Holdings) -> Iterator[Finding]:
    """Find processes whose first thread has ended while others go on."""
    for process in held.zombies:
        others = len(_names(f"/proc/{process.pid}/task")) - 1
        if others > 0:
            what = "its first thread has ended and others go on, which CRIU does not save"
            remedy = "have main() wait for its threads (pthread_join, not pthread_exit)"
            yield finding(REFUSED, process, f"{others} thread(s)", what, remedy)


def _above(held: Holdings) -> set[int]:
    """The processes above the tree, which go with the job, but for init."""
    above: set[int] = set()
    process = next(iter(held.tree.values()), None)
    while process is not None and process.ppid > 1:
        above.add(process.ppid)
        process = proc.stat(process.ppid)
    return above


def _has(link: tuple[int, int, str], flag: int) -> bool:
    flags = detail(link[0], link[1], "flags")
    return bool(flags) and bool(int(flags, 8) & flag)


def _memfds_device() -> int:
    """Where the kernel has memfds of ordinary pages."""
    fd = os.memfd_create("torqueckpt")
    try:
        return os.fstat(fd).st_dev
    finally:
        os.close(fd)


def _watched(pid: int, fd: int) -> tuple[tuple[int, int], ...]:
    """The number and the inode of each descriptor that an epoll watches."""
    try:
        with open(f"/proc/{pid}/fdinfo/{fd}") as file:
            found = [_TARGET.match(line) for line in file]
    except (OSError, ProcessLookupError):
        return ()
    return tuple((int(each.group(1)), int(each.group(2), 16)) for each in found if each is not None)


def _inodes(pid: int, opened: list[str]) -> set[int]:
    found = (status_of((pid, int(name), "")) for name in opened)
    return {each.st_ino for each in found if each is not None}


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []
