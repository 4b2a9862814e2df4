# SPDX-License-Identifier: MIT
"""Tell which connections CRIU saves: those with both ends in the tree, open in both directions."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from torqueckpt.findings import HAZARD, REFUSED, Finding
from torqueckpt.process.proc import Stat
from torqueckpt.process.resources import Holdings, finding
from torqueckpt.process.sockets import (
    CLOSED,
    ESTABLISHED,
    LISTENING,
    TIME_WAIT,
    Tcp,
    Unix,
    protocol,
    unread_netlink,
    unread_udp,
)

_OWN_BUS = "start it as `dbus-run-session -- PROGRAM`, with a bus in the job"
# Part of the other end's name → who that is, and what to do.
_DAEMONS = (
    ("/sss/", "sssd", "sssd closes it when idle (client_idle_timeout); checkpoint again then"),
    ("nscd/", "nscd", "nscd closes it after the look-up; checkpoint again"),
    (
        "/system_bus_socket",
        "the node's D-Bus",
        "start the program with DBUS_SYSTEM_BUS_ADDRESS=disabled:",
    ),
    ("dbus", "D-Bus", _OWN_BUS),
    ("/bus", "D-Bus", _OWN_BUS),
    ("X11-unix", "the X server", "start it as `env -u DISPLAY PROGRAM`"),
)
_KNOWN = ("UNIX", "TCP", "UDP", "RAW", "PING", "PACKET", "NETLINK")
_TOPS = ("cwd", "root")  # where CRIU looks for a relative path
_PENDING = "not accepted yet: CRIU saves no connection that waits"
_NETLINK = "netlink socket with data"
_HALF = "half open or half closed, which only root's CRIU restores"
_TO = "connected to "
_CONNECTION = "TCP connection to"
_AGAIN = "checkpoint again: as a rule it lasts a moment only"


def unknown_sockets(held: Holdings) -> Iterator[Finding]:
    for pid, fd in held.sockets.values():
        kind = protocol(pid, fd)
        if kind and not kind.startswith(_KNOWN):
            thing, what = f"{kind} socket", "CRIU does not know this kind of socket"
            remedy = "GODEBUG=multipathtcp=0" if kind.startswith("MPTCP") else "close it before"
            yield finding(REFUSED, held.tree[pid], thing, what, remedy)


def unread(held: Holdings) -> Iterator[Finding]:
    """Find what waits to be read in sockets whose queues CRIU does not save."""
    kinds = {inode: protocol(*where) for inode, where in held.sockets.items()}
    if "NETLINK" in kinds.values():
        for inode in unread_netlink().keys() & kinds.keys():
            what = "it has not read what the kernel has told it"
            yield finding(REFUSED, held.tree[held.sockets[inode][0]], _NETLINK, what, _AGAIN)
    if any(kind.startswith("UDP") for kind in kinds.values()):
        waiting = unread_udp()
        for inode in waiting.keys() & kinds.keys():
            thing = f"UDP socket with {waiting[inode]} bytes that were not read"
            what, remedy = "a restart finds it empty", "have the program ask again in time"
            yield finding(HAZARD, held.tree[held.sockets[inode][0]], thing, what, remedy)


def unix_connections(held: Holdings) -> Iterator[Finding]:
    known = held.unix()
    waits_at = {each: listener for listener in known.values() for each in listener.waiting}
    for inode, (pid, _) in held.sockets.items():
        mine = known.get(inode)
        if mine is None:
            continue
        process = held.tree[pid]
        if not mine.stream:
            other = known.get(mine.peer)
            if other is not None and other.inode not in held.sockets and not _has_place(other):
                what = "its other end, outside of the job, has no name that it is found again by"
                yield finding(REFUSED, process, _unix(other), what, "give it an absolute path")
            continue
        listener = waits_at.get(inode)
        if listener is not None:
            if listener.inode not in held.sockets:
                yield _to_outside(process, listener)
            elif mine.unread:
                yield finding(REFUSED, process, _unix(listener), _PENDING, _AGAIN)
        elif mine.peer not in ("", "0") and mine.peer not in held.sockets:
            yield _to_outside(process, known.get(mine.peer))


def relative_paths(held: Holdings) -> Iterator[Finding]:
    """Find sockets of a relative path that no longer leads to them: CRIU cannot tell where."""
    for inode, mine in held.unix().items():
        if inode not in held.sockets or mine.place is None or mine.name.startswith("/"):
            continue
        holders = {pid for pid, _, to in held.links if to == f"socket:[{inode}]"}
        paths = (f"/proc/{pid}/{top}/{mine.name}" for pid in holders for top in _TOPS)
        if not any(_is_socket(path, mine.place[1]) for path in paths):
            what = "its path is relative, and does not lead to it any more"
            process, thing = held.tree[held.sockets[inode][0]], f"UNIX socket {mine.name}"
            yield finding(REFUSED, process, thing, what, "bind it to an absolute path")


def _is_socket(path: str, inode: int) -> bool:
    """Whether a path leads to it; of its device btrfs and the kernel have different numbers."""
    try:
        found = os.stat(path)
    except OSError:
        return False
    return stat.S_ISSOCK(found.st_mode) and found.st_ino & 0xFFFFFFFF == inode


def _to_outside(process: Stat, other: Unix | None) -> Finding:
    thing = _unix(other)
    for part, who, remedy in _DAEMONS:
        if other is not None and part in other.name:
            what = f"{_TO}{who}, outside of the job"
            return finding(REFUSED, process, thing, what, remedy)
    what = f"{_TO}a process outside of the job's tree"
    return finding(REFUSED, process, thing, what, "close it, or start the other end in the job")


def _unix(other: Unix | None) -> str:
    return f"UNIX socket to {other.name}" if other is not None and other.name else "UNIX socket"


def _has_place(other: Unix) -> bool:
    return other.name.startswith(("/", "@"))


def tcp_connections(held: Holdings) -> Iterator[Finding]:
    rows = held.tcp()
    ends = {(each.local, each.remote): each for each in rows}
    ears = {
        each.local[1]: held.sockets[each.inode][0]
        for each in rows
        if each.state == LISTENING and each.inode in held.sockets
    }
    for each in rows:
        owner = held.sockets.get(each.inode)
        if owner is None:
            pid = ears.get(each.local[1])
            if each.inode == "0" and each.state == ESTABLISHED and pid is not None:
                yield finding(REFUSED, held.tree[pid], _named(each), _PENDING, _AGAIN)
        elif each.state == ESTABLISHED:
            other = ends.get((each.remote, each.local))
            waits = other is not None and other.inode == "0"  # to be accepted
            if other is None or not (
                each.remote[1] in ears if waits else other.inode in held.sockets
            ):
                what = "to a program outside of the job, which a restart does not reach again"
                remedy = "have the program connect anew when it gets no answer"
                yield finding(HAZARD, held.tree[owner[0]], _named(each), what, remedy)
        elif each.state not in (LISTENING, CLOSED, TIME_WAIT):
            yield finding(REFUSED, held.tree[owner[0]], _named(each), _HALF, _AGAIN)


def established(held: Holdings, what: str, remedy: str) -> Iterator[Finding]:
    """A refusal, where no established connection can be saved, that names one of them."""
    for each in held.tcp():
        owner = held.sockets.get(each.inode)
        if each.state == ESTABLISHED and owner is not None:
            yield finding(REFUSED, held.tree[owner[0]], _named(each), what, remedy)
            return


def is_refused_frozen(found: Finding) -> bool:
    """Whether it is a connection, which may be gone in a moment, and which CRIU itself refuses."""
    return found.what in (_PENDING, _HALF) or found.what.startswith(_TO)


def is_connection(found: Finding) -> bool:
    """Whether it is one of tcp_connections()."""
    return found.subject.startswith(_CONNECTION)


def _named(connection: Tcp) -> str:
    return f"{_CONNECTION} {connection.peer}"
