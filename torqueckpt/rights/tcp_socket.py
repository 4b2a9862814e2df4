# SPDX-License-Identifier: MIT
"""Put a user's TCP socket into repair mode, and out of it as what it is to be, or closed.

It stays his all the time: another process of his may connect it elsewhere, bind it, listen.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from typing import Any

from torqueckpt.identity import Owner
from torqueckpt.manifest import Connection
from torqueckpt.process.sockets import Tcp

TCP = socket.IPPROTO_TCP
# linux/tcp.h
REPAIR, QUEUE, QUEUE_SEQ, OPTIONS, TIMESTAMP, WINDOW = 19, 20, 21, 22, 24, 29
OFF, OFF_SILENTLY = 0, -1  # the first sends a segment, which has the other end go on
_ON = 1

_SIOCGSKNS = 0x894C  # linux/sockios.h
_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_MAPPED = "::ffff:"
_TRIES = 1000


class Refused(Exception):
    """A request that is not granted; the text says why."""


def of_owner(fd: int, owner: Owner) -> socket.socket:
    """A descriptor as a socket, when it is a TCP socket of the owner's in this network."""
    try:
        found = socket.socket(fileno=fd)
    except OSError:
        os.close(fd)
        raise
    try:
        if (found.type, found.proto) != (socket.SOCK_STREAM, TCP) or found.family not in _FAMILIES:
            raise Refused("no TCP socket")
        if os.fstat(fd).st_uid != owner.uid:
            raise Refused("another user's socket")
        network = fcntl.ioctl(fd, _SIOCGSKNS)
        try:
            if not os.path.samestat(os.fstat(network), os.stat("/proc/self/ns/net")):
                raise Refused("a socket of another network namespace")
        finally:
            os.close(network)
    except BaseException:
        found.close()
        raise
    return found


def take(it: socket.socket) -> None:
    """Switch repair mode on; the mode would let it have any port, whoever is there: that goes."""
    reuse = it.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    it.setsockopt(TCP, REPAIR, _ON)
    it.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)


def let_go(it: socket.socket, wanted: Connection | None, how: int) -> bool:
    """Switch repair mode off; True when the socket connected these ends, else it is closed.

    Out of that mode it may be closed at once, where nobody is at the other end.
    """
    reuse = it.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    whole = False
    for _ in range(_TRIES):
        whole = wanted is not None and ends(it) == wanted
        if not whole:
            _disconnect(it)
        try:
            it.setsockopt(TCP, REPAIR, how)
            break
        except PermissionError:  # its owner listens by now
            continue
    it.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
    if ends(it) not in (wanted, None):
        _disconnect(it)
        return False
    return whole


def _disconnect(it: socket.socket) -> None:
    import ctypes  # slow, and seldom wanted

    nowhere = ctypes.create_string_buffer(16)  # AF_UNSPEC
    ctypes.CDLL(None).connect(it.fileno(), nowhere, len(nowhere))


def ends(it: socket.socket) -> Connection | None:
    """What it connects; None when it is not connected."""
    try:
        return Connection(*plain(it.getsockname()), *plain(it.getpeername()))
    except OSError:
        return None


def plain(address: tuple[Any, ...]) -> tuple[str, int]:
    """Host and port; both ends of a connection write them alike."""
    host = str(address[0]).partition("%")[0]
    return host[len(_MAPPED) :] if host.startswith(_MAPPED) and "." in host else host, address[1]


def ends_of(row: Tcp) -> Connection:
    """What it connects, of one that the kernel has listed."""
    (local, here), (remote, there) = row.local, row.remote
    return Connection(_host(local), here, _host(remote), there)


def _host(address: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)


def turned(connection: Connection) -> Connection:
    """The same connection, seen from its other end."""
    local, local_port, remote, remote_port = connection
    return Connection(remote, remote_port, local, local_port)


def number(it: socket.socket, request: int) -> int:
    """What an ioctl tells of it."""
    (value,) = struct.unpack("=i", fcntl.ioctl(it, request, bytes(4)))
    return int(value)
