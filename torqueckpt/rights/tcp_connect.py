# SPDX-License-Identifier: MIT
"""Make the TCP connections of a restored tree, which stands still.

CRIU gets a socket that is bound and no more, in the place of each that it makes; what it would do
to that is collected, and done when all processes are there.  A connection must be in the signed
manifest, or have both its ends in the image.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import groupby
from typing import NamedTuple, Union

from torqueckpt.identity import Owner
from torqueckpt.manifest import Connection
from torqueckpt.process import privileges, sockets
from torqueckpt.rights import tcp_socket
from torqueckpt.rights.tcp_socket import (
    OPTIONS,
    QUEUE,
    QUEUE_SEQ,
    REPAIR,
    TCP,
    TIMESTAMP,
    WINDOW,
    Refused,
)

MOST_BYTES = 256 * 1024 * 1024  # that wait in the queues of all
_MOST_STEPS = 64
_CHUNK = 32 * 1024
_SEND, _RECEIVE = (socket.SO_SNDBUF, 32), (socket.SO_RCVBUF, 33)  # SO_SNDBUFFORCE, SO_RCVBUFFORCE

# tcp-repair.c has the same; the last is what criu has sent after it had switched repair mode off
_BIND, _CONNECT, _DATA, _UNSENT = 1001, 1002, 1003, 1004
_SETTINGS = (QUEUE, QUEUE_SEQ, OPTIONS, TIMESTAMP, WINDOW)
_HEAD = struct.Struct("=II")

Step = tuple[int, bytes]
Address = Union[tuple[str, int], tuple[str, int, int, int]]


class _New(NamedTuple):
    """A socket that is bound, what it is to connect, and the steps to that."""

    socket: socket.socket
    wanted: Connection
    steps: list[Step]

    def both_ends(self) -> list[Connection]:
        """The same for either end of a connection."""
        return sorted((self.wanted, tcp_socket.turned(self.wanted)))


class Connector:
    """Makes the connections of one restore; known: those in its signed manifest."""

    def __init__(self, owner: Owner, known: tuple[Connection, ...]) -> None:
        self._owner, self._known = owner, known
        self._new: list[_New] = []

    def bound(self, given: socket.socket, body: bytes) -> socket.socket:
        """A socket for the given one's place, bound as the steps in body say."""
        steps = _steps(body)
        wanted = dict(steps)
        local, remote = _address(wanted[_BIND]), _address(wanted[_CONNECT])
        with privileges.acting_as(self._owner):  # whose it is then; he must be allowed the port
            made = socket.socket(given.family, socket.SOCK_STREAM, TCP)
            if given.family == socket.AF_INET6:
                only6 = given.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only6)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # beside others of his
            try:
                made.bind(local)
            except OSError as taken:
                if taken.errno != errno.EADDRINUSE or not _only_his(local[1], self._owner):
                    raise
                with _any_port(made):
                    made.bind(local)
        ends = Connection(*tcp_socket.plain(local), *tcp_socket.plain(remote))
        self._new.append(_New(made, ends, steps))
        return made

    def connect_all(self) -> None:
        """Refused, or OSError, when that fails; then none is left that could be used."""
        allowed = {*self._known, *(tcp_socket.turned(each.wanted) for each in self._new)}
        try:
            for each in self._new:
                if each.wanted not in allowed:
                    raise Refused(f"{each.wanted} is not in the manifest")
            for _, ends in groupby(sorted(self._new, key=_New.both_ends), _New.both_ends):
                _connect(list(ends))
        except BaseException:
            for each in self._new:
                tcp_socket.let_go(each.socket, None, tcp_socket.OFF_SILENTLY)
            raise


def _connect(ends: list[_New]) -> None:
    """Make one connection: both ends of it that are in the image, which need each other."""
    with ExitStack() as roomy:
        for each in ends:
            roomy.enter_context(_roomy(each.socket, *_SEND))
            tcp_socket.take(each.socket)
            with _roomy(each.socket, *_RECEIVE):  # or it would tell its other end of that room
                for kind, value in each.steps:
                    _do(each.socket, kind, value)
        for each in ends:
            if not tcp_socket.let_go(each.socket, each.wanted, tcp_socket.OFF):
                raise Refused("it was changed meanwhile")
        for each in ends:
            for kind, value in each.steps:
                if kind == _UNSENT:
                    with suppress(ConnectionError):  # closed: nobody is at its other end
                        _send(each.socket, value)


def _do(it: socket.socket, kind: int, value: bytes) -> None:
    if kind == _CONNECT:
        try:
            it.connect(_address(value))
        except OSError as problem:
            if problem.errno != errno.EADDRNOTAVAIL:
                raise
            # the kernel remembers the last connection of these addresses for a minute
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE)) from problem
    elif kind == _DATA:
        for at in range(0, len(value), _CHUNK):
            _send(it, value[at : at + _CHUNK])
    elif kind in _SETTINGS:
        it.setsockopt(TCP, kind, value)


def _send(it: socket.socket, data: bytes) -> None:
    if it.send(data, socket.MSG_DONTWAIT) != len(data):
        raise Refused("what waits in its queues finds no room")


@contextmanager
def _roomy(it: socket.socket, size: int, force: int) -> Iterator[None]:
    """Inside, a queue takes what it held before, however that was cut into segments."""
    room = it.getsockopt(socket.SOL_SOCKET, size)
    it.setsockopt(socket.SOL_SOCKET, force, MOST_BYTES)
    yield
    it.setsockopt(socket.SOL_SOCKET, force, room // 2)


@contextmanager
def _any_port(it: socket.socket) -> Iterator[None]:
    """Inside, a socket that nobody else has can be bound to a port that is taken."""
    with privileges.acting_as_root():
        it.setsockopt(TCP, REPAIR, 1)
    yield
    with privileges.acting_as_root():
        it.setsockopt(TCP, REPAIR, tcp_socket.OFF)


def _only_his(port: int, owner: Owner) -> bool:
    """Whether all sockets at this port are the owner's, or only remembered by the kernel."""
    return all(
        each.remembered or each.uid == owner.uid for each in sockets.tcp() if each.local[1] == port
    )


def _steps(body: bytes) -> list[Step]:
    """What criu did to a socket, read strictly."""
    steps: list[Step] = []
    at, repairing = 0, True
    while at < len(body):
        if at + _HEAD.size > len(body) or len(steps) == _MOST_STEPS:
            raise Refused("odd steps")
        kind, length = _HEAD.unpack_from(body, at)
        at += _HEAD.size + length
        value = body[at - length : at]
        if len(value) != length:
            raise Refused("half a step")
        if kind == REPAIR:
            repairing = any(value)
        elif kind in (_BIND, _CONNECT, _DATA, *_SETTINGS):
            steps.append((_UNSENT if kind == _DATA and not repairing else kind, value))
        else:
            raise Refused(f"step {kind}")
    kinds = [kind for kind, _ in steps]
    if kinds.count(_BIND) != 1 or kinds.count(_CONNECT) != 1:
        raise Refused("not one connection")
    return steps


def _address(value: bytes) -> Address:
    """A sockaddr_in or sockaddr_in6, in Python's form."""
    family = int.from_bytes(value[:2], "little" if struct.pack("=H", 1)[0] else "big")
    port = int.from_bytes(value[2:4], "big")
    if family == socket.AF_INET and len(value) == 16:
        return socket.inet_ntop(family, value[4:8]), port
    if family == socket.AF_INET6 and len(value) == 28:
        (scope,) = struct.unpack_from("=I", value, 24)
        return socket.inet_ntop(family, value[8:24]), port, 0, scope
    raise Refused("an odd address")
