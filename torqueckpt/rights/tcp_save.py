# SPDX-License-Identifier: MIT
"""Read the TCP connections of a tree that stands still, both ends of each at one moment.

The kernel goes on sending meanwhile.  Were one end read before the other, a byte could be gone from
the one's queue and not yet be in the other's, and the restored job would wait for it for ever.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import ExitStack, suppress
from typing import NamedTuple

from torqueckpt.identity import Owner
from torqueckpt.manifest import Connection
from torqueckpt.process import proc, sockets, tree
from torqueckpt.rights import tcp_socket
from torqueckpt.rights.tcp_socket import QUEUE, QUEUE_SEQ, TCP, WINDOW, Refused

_RECEIVED, _SENT = 1, 2  # queues
_WINDOW_BYTES = 20
_SIOCINQ, _SIOCOUTQ, _SIOCOUTQNSD = 0x541B, 0x5411, 0x894B  # asm-generic/ioctls.h, linux/sockios.h
_TRIES = 100
_PIDFD_GETFD = 438
_SIZES = struct.Struct("=3I")

_Numbers = tuple[bytes, tuple[int, int, int]]


class _State(NamedTuple):
    """One end as it was; `data` is what tcp-repair.c hands to criu."""

    ends: Connection
    data: bytes


class Saver:
    """Reads the connections of one tree of the owner's."""

    def __init__(self, owner: Owner, root: proc.Stat) -> None:
        self._owner, self._root = owner, root
        self._places: dict[str, tuple[int, int]] = {}  # inode → one of those that have it
        self._other: dict[str, str] = {}  # inode → that of its other end
        self._states: dict[str, _State] = {}
        self.saved: dict[str, Connection] = {}

    def state(self, given: socket.socket) -> bytes:
        """The state of a connection that criu dumps: the tree stands still."""
        if not self._places:
            self._look()
        inode = str(os.fstat(given.fileno()).st_ino)
        if inode not in self._places or inode in self.saved:
            raise Refused("no connection of the job's, or one that was asked for already")
        if inode not in self._states:
            with ExitStack() as opened:
                both = {inode: given}
                other = self._other.get(inode, "")
                with suppress(OSError, Refused):  # then it is outside of the job
                    both[other] = opened.enter_context(self._opened(other))
                self._states.update(zip(both, _read_together(list(both.values()))))
        self.saved[inode], data = self._states.pop(inode)
        return data

    def let_all_go(self) -> None:
        """Switch repair mode off where another process of root's, which was killed, has left it."""
        self._look()
        for inode in self._places:
            with suppress(OSError, Refused), self._opened(inode) as left:
                if left.getsockopt(TCP, tcp_socket.REPAIR):
                    tcp_socket.let_go(left, tcp_socket.ends(left), tcp_socket.OFF_SILENTLY)

    def _look(self) -> None:
        links = tree.open_links(tree.below(self._root))
        self._places = {to[8:-1]: (pid, fd) for pid, fd, to in links if to.startswith("socket:[")}
        rows = [each for each in sockets.tcp() if each.state == sockets.ESTABLISHED]
        by_ends = {(each.local, each.remote): each.inode for each in rows}
        for each in rows:
            other = by_ends.get((each.remote, each.local))
            if other in self._places:
                self._other[each.inode] = other

    def _opened(self, inode: str) -> socket.socket:
        """Our own descriptor of a socket of the tree's."""
        import ctypes  # slow

        if inode not in self._places:
            raise Refused("not in the tree")
        pid, fd = self._places[inode]
        process = os.pidfd_open(pid)
        try:
            found = ctypes.CDLL(None).syscall(_PIDFD_GETFD, process, fd, 0)
        finally:
            os.close(process)
        if found < 0:
            raise Refused("not to be had")
        opened = tcp_socket.of_owner(found, self._owner)
        if str(os.fstat(found).st_ino) != inode:
            opened.close()
            raise Refused("another one by now")
        return opened


def _read_together(given: list[socket.socket]) -> list[_State]:
    """Read the ends of one connection, until nothing has moved meanwhile."""
    found = [tcp_socket.ends(each) for each in given]
    if None in found:
        raise Refused("not connected")
    whole = True
    try:
        for each in given:
            tcp_socket.take(each)
        for _ in range(_TRIES):
            before = [_numbers(each) for each in given]
            data = list(map(_data, given, before))
            if before == [_numbers(each) for each in given] and all(map(_complete, before, data)):
                break
        else:
            raise Refused("more is sent while it is read, time and again")
    finally:
        for each, connection in zip(given, found):
            whole &= tcp_socket.let_go(each, connection, tcp_socket.OFF_SILENTLY)
    if not whole:
        raise Refused("it was changed meanwhile")
    return [_State(ends, each) for ends, each in zip(found, data) if ends is not None]


def _numbers(it: socket.socket) -> _Numbers:
    """Sequence numbers and window; and how much is in the queues: received, sent, yet unsent."""
    fixed = b""
    for queue in (_RECEIVED, _SENT):
        it.setsockopt(TCP, QUEUE, queue)
        fixed += it.getsockopt(TCP, QUEUE_SEQ, 4)
    fixed += it.getsockopt(TCP, WINDOW, _WINDOW_BYTES)
    sizes = [tcp_socket.number(it, each) for each in (_SIOCINQ, _SIOCOUTQ, _SIOCOUTQNSD)]
    return fixed, (sizes[0], sizes[1], sizes[2])


def _complete(numbers: _Numbers, data: bytes) -> bool:
    fixed, (received, sent, _) = numbers
    return len(data) == len(fixed) + _SIZES.size + received + sent


def _data(it: socket.socket, numbers: _Numbers) -> bytes:
    fixed, sizes = numbers
    queues = b""
    for queue, size in ((_RECEIVED, sizes[0]), (_SENT, sizes[1])):
        it.setsockopt(TCP, QUEUE, queue)
        if size:
            queues += it.recv(size, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    return fixed + _SIZES.pack(*sizes) + queues
