# SPDX-License-Identifier: MIT
"""Read from /proc, once, all that a tree of processes holds: files, sockets, mappings, namespaces.

Read as the tree's owner: what he may not read, a checkpointer that runs as he does may not either.
"""

from __future__ import annotations

import os
import re
import time
from typing import NamedTuple

from torqueckpt.findings import Finding, Process
from torqueckpt.process import other_names, proc
from torqueckpt.process import sockets as net

_SOCKET = re.compile(r"socket:\[([0-9]+)\]")
_TOLD = ("TracerPid", "Seccomp")
_NAMESPACES = ("user", "pid", "mnt", "net", "ipc", "uts", "time")
# What is of interest in a list of mappings; most lines are libraries.
_MAPPED = (b"/SYSV", b"/dev/", b"anon_inode:", b"/secretmem")
LIBNUMA = "/libnuma.so"
_LIBNUMA = LIBNUMA.encode()
_GONE = other_names.DELETED.encode() + b"\n"
_EXEC_SECONDS = 0.5

Links = list[tuple[int, int, str]]  # (pid, descriptor, what it points to)


class Mapped(NamedTuple):
    """One mapping of a process."""

    pid: int
    what: str


class Holdings(NamedTuple):
    """A tree, without its zombies, and all that it held at one moment."""

    tree: dict[int, proc.Stat]
    links: Links
    status: dict[int, dict[str, str]]
    namespaces: dict[int, tuple[str, ...]]  # those that are not ours
    mapped: list[Mapped]
    unreadable: list[int]
    sockets: dict[str, tuple[int, int]]  # inode → one of those that have it: (pid, descriptor)
    other_names: tuple[other_names.OtherName, ...] = ()  # of files whose opened name is gone
    programs: dict[int, str] = {}  # the file that each process runs
    zombies: tuple[proc.Stat, ...] = ()

    def tcp(self) -> list[net.Tcp]:
        return net.tcp() if self.sockets else []

    def unix(self) -> dict[str, net.Unix]:
        return net.unix() if self.sockets else {}


def finding(severity: str, process: proc.Stat, thing: str, what: str, remedy: str) -> Finding:
    """One on something that a process of the tree holds."""
    return Finding(severity, thing, what, remedy, Process(process.pid, process.name))


def of_tree(tree: list[proc.Stat], links: Links) -> Holdings:
    """Read what a tree holds; `links` are what tree.open_links(tree) gave."""
    running = {each.pid: each for each in tree if not each.ended}
    links = [link for link in links if link[0] in running]
    with_links = {pid for pid, _, _ in links}
    own = _namespaces("self")
    maps = {pid: _maps(pid) for pid in running}
    gone = [each for pid, lines in maps.items() for each in other_names.mapped(pid, lines)]
    gone += other_names.opened(links)
    return Holdings(
        tree=running,
        links=links,
        status={pid: _status(pid) for pid in running},
        namespaces={pid: _foreign(_namespaces(str(pid)), own) for pid in running},
        mapped=[each for pid, lines in maps.items() for each in _mapped(pid, lines)],
        unreadable=[pid for pid in running if pid not in with_links and _closed(pid)],
        sockets={
            found.group(1): (pid, fd)
            for pid, fd, to in links
            if (found := _SOCKET.fullmatch(to)) is not None
        },
        other_names=other_names.find(gone, links) if gone else (),
        programs={pid: _program(pid) for pid in running},
        zombies=tuple(each for each in tree if each.ended),
    )


def status_of(link: tuple[int, int, str]) -> os.stat_result | None:
    """The stat of what a descriptor leads to; None when it is closed by now."""
    try:
        return os.stat(f"/proc/{link[0]}/fd/{link[1]}")
    except OSError:
        return None


def waits_in(pid: int) -> str:
    """The name of the kernel function that a process waits in; "" for none."""
    try:
        with open(f"/proc/{pid}/wchan") as file:
            return file.read()
    except (OSError, ProcessLookupError):
        return ""


def detail(pid: int, fd: int, name: str) -> str:
    """One line of /proc/PID/fdinfo/FD, such as tty-index; "" when it is not there."""
    try:
        with open(f"/proc/{pid}/fdinfo/{fd}") as file:
            lines = [line.partition(":") for line in file]
    except (OSError, ProcessLookupError):
        return ""
    return next((value.strip() for key, _, value in lines if key == name), "")


def _program(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""


def _status(pid: int) -> dict[str, str]:
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            rows = [line.decode("utf-8", "replace").partition(":") for line in file]
    except (OSError, ProcessLookupError):
        return {}
    return {name: value.strip() for name, _, value in rows if name in _TOLD}


def _namespaces(pid: str) -> dict[str, str]:
    found = {}
    for name in _NAMESPACES:
        try:
            found[name] = os.readlink(f"/proc/{pid}/ns/{name}")
        except OSError:  # a kernel without that kind, or a process that is not to be read
            continue
    return found


def _foreign(theirs: dict[str, str], own: dict[str, str]) -> tuple[str, ...]:
    return tuple(name for name, link in theirs.items() if own.get(name) != link)


def _maps(pid: int) -> list[bytes]:
    """The lines of a process's list of mappings that are of interest."""
    try:
        with open(f"/proc/{pid}/maps", "rb") as file:
            return [line for line in file if _is_of_interest(line)]
    except (OSError, ProcessLookupError):
        return []


def _is_of_interest(line: bytes) -> bool:
    return line.endswith(_GONE) or _LIBNUMA in line or any(begin in line for begin in _MAPPED)


def _mapped(pid: int, lines: list[bytes]) -> list[Mapped]:
    paths = {line.split(None, 5)[5].rstrip(b"\n") for line in lines}
    found = sorted(path for path in paths if path.startswith(_MAPPED) or _LIBNUMA in path)
    return [Mapped(pid, os.fsdecode(each)) for each in found]


def _closed(pid: int) -> bool:
    """Whether not even its own user may look into a process, as for a moment at each exec."""
    until = time.monotonic() + _EXEC_SECONDS
    while True:
        try:
            os.listdir(f"/proc/{pid}/fd")
        except PermissionError:
            if time.monotonic() > until:
                return True
            time.sleep(0.005)
        except (FileNotFoundError, ProcessLookupError):
            return False
        else:
            return False
