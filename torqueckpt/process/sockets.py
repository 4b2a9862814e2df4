# SPDX-License-Identifier: MIT
"""List this node's sockets and their other ends, as the kernel tells them (sock_diag(7)).

Of TCP, have it forget one that no process has any more.

/proc/net/tcp tells the same of TCP, but takes milliseconds for an empty list.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # slow to import, and few jobs have any
    import socket

# include/net/tcp_states.h
ESTABLISHED, FIN_WAIT1, FIN_WAIT2, TIME_WAIT, CLOSED = 1, 4, 5, 6, 7
LAST_ACK, LISTENING, CLOSING = 9, 10, 11
_UNIX, _INET, _INET6 = 1, 2, 10  # Linux's AF_UNIX, AF_INET, AF_INET6
_TCP, _UDP = 6, 17  # IPPROTO_TCP, IPPROTO_UDP
_STREAM, _SEQPACKET = 1, 5

_DIAG_PROTOCOL, _DIAG_BY_FAMILY, _REQUEST_DUMP = 4, 20, 0x301
_DESTROY, _REQUEST_ACKNOWLEDGED = 21, 0x5
_DONE, _ERROR = 3, 2
_ALL_STATES = 0xFFFFFFFF
_REMEMBERED = 3  # the timer of what is no socket any more (idiag_timer in sock_diag(7))
# Name, the file of a path, peer, who waits to be accepted, lengths of queues.
_SHOW = 0x1 | 0x2 | 0x4 | 0x8 | 0x10
_NAME, _FILE, _PEER, _WAITING, _QUEUES = 0, 1, 2, 3, 4  # attributes of an answer
_MINOR_BITS = 20  # of a device number within the kernel
_MAPPED = bytes(10) + b"\xff\xff"  # IPv4 in IPv6


class Tcp(NamedTuple):
    """One TCP socket; inode "0" for one that no process has (yet, or any more)."""

    inode: str
    state: int
    local: tuple[bytes, int]
    remote: tuple[bytes, int]
    uid: int = 0
    remembered: bool = False  # by the kernel alone, both its ends or this one having been closed
    key: bytes = b""  # the kernel's own words for it, which no other socket ever has

    @property
    def peer(self) -> str:
        """The other end's address as people write it."""
        import socket

        address, port = self.remote
        family = _INET if len(address) == 4 else _INET6
        return f"{socket.inet_ntop(family, address)}:{port}"


class Unix(NamedTuple):
    """One UNIX socket; peer is "0" for one that nobody has accepted yet, "" for none."""

    inode: str
    stream: bool  # also of packets in sequence: what has a connection
    name: str
    peer: str
    waiting: tuple[str, ...]  # inodes of those that a listening one has not accepted yet
    unread: int  # bytes sent that the other end has not read
    place: tuple[int, int] | None = None  # device and inode (its low 32 bits) of the path it is at


def protocol(pid: int, fd: int) -> str:
    """The protocol of a socket by the kernel's name, as in TCP, UNIX-STREAM; "" when unknown."""
    try:
        return os.getxattr(f"/proc/{pid}/fd/{fd}", "system.sockprotoname").strip(b"\0").decode()
    except OSError:
        return ""


def tcp() -> list[Tcp]:
    """All TCP sockets of this network namespace; [] when the kernel does not tell."""
    found = []
    for family in (_INET, _INET6):
        request = struct.pack("=BBBBI48x", family, _TCP, 0, 0, _ALL_STATES)
        found += [_tcp(answer) for answer in _dump(request)]
    return found


def destroy(it: Tcp) -> bool:
    """Have the kernel end a TCP socket, whoever has it; called as root.

    False where it is gone by now, or the kernel cannot (CONFIG_INET_DIAG_DESTROY).
    """
    import socket

    request = struct.pack("=BBBBI", it.key[0], _TCP, 0, 0, _ALL_STATES) + it.key[1:]
    size = 16 + len(request)
    header = struct.pack("=IHHII", size, _DESTROY, _REQUEST_ACKNOWLEDGED, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _DIAG_PROTOCOL) as kernel:
            kernel.settimeout(2)
            kernel.send(header + request)
            _, kind, _, _, _, error = struct.unpack_from("=IHHIIi", kernel.recv(1 << 16))
    except OSError:
        return False
    return bool(kind == _ERROR and error == 0)


def unix() -> dict[str, Unix]:
    """All UNIX sockets of this network namespace, by inode; {} when the kernel does not tell."""
    request = struct.pack("=BBHIIIII", _UNIX, 0, 0, _ALL_STATES, 0, _SHOW, 0, 0)
    return {each.inode: each for each in map(_unix, _dump(request))}


def unread_udp() -> dict[str, int]:
    """How many bytes wait in UDP sockets of this network namespace, where any do, by inode."""
    found = {}
    for family in (_INET, _INET6):
        request = struct.pack("=BBBBI48x", family, _UDP, 0, 0, _ALL_STATES)
        for answer in _dump(request):
            (waiting,), (inode,) = (struct.unpack_from("=I", answer, at) for at in (56, 68))
            if waiting:
                found[str(inode)] = waiting
    return found


def unread_netlink() -> dict[str, int]:
    """How many bytes wait in netlink sockets, where any do, by inode."""
    with open("/proc/net/netlink") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    return {row[-1]: int(row[4]) for row in rows if int(row[4])}


def _dump(request: bytes) -> list[bytes]:
    import socket

    header = struct.pack("=IHHII", 16 + len(request), _DIAG_BY_FAMILY, _REQUEST_DUMP, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _DIAG_PROTOCOL) as kernel:
            kernel.settimeout(2)
            kernel.send(header + request)
            return list(_answers(kernel))
    except OSError:
        return []


def _answers(kernel: socket.socket) -> Iterator[bytes]:
    while True:
        data = kernel.recv(1 << 18)
        while data:
            length, kind = struct.unpack_from("=IH", data)
            if kind in (_DONE, _ERROR):
                return
            yield data[16:length]
            data = data[(length + 3) & ~3 :]


def _tcp(answer: bytes) -> Tcp:
    family, state, timer = struct.unpack_from("=BBB", answer)
    here, there = struct.unpack_from(">HH", answer, 4)
    uid, inode = struct.unpack_from("=II", answer, 64)
    local, remote = _address(family, answer[8:24]), _address(family, answer[24:40])
    key = answer[:1] + answer[4:52]  # struct inet_diag_sockid, with its cookie
    remembered = timer == _REMEMBERED
    return Tcp(str(inode), state, (local, here), (remote, there), uid, remembered, key)


def _address(family: int, words: bytes) -> bytes:
    """Write an IPv4 address in IPv6 as IPv4, so that both ends of a connection look alike."""
    if family == _INET:
        return words[:4]
    return words[12:] if words.startswith(_MAPPED) else words


def _unix(answer: bytes) -> Unix:
    _, kind, _, _, inode = struct.unpack_from("=BBBBI", answer)
    attributes = {}
    at = 16
    while at + 4 <= len(answer):
        length, name = struct.unpack_from("=HH", answer, at)
        attributes[name] = answer[at + 4 : at + length]
        at += (max(length, 4) + 3) & ~3
    waiting = attributes.get(_WAITING, b"")
    place = None
    if _FILE in attributes:
        file, device = struct.unpack("=II", attributes[_FILE])
        place = os.makedev(device >> _MINOR_BITS, device & ((1 << _MINOR_BITS) - 1)), file
    return Unix(
        inode=str(inode),
        stream=kind in (_STREAM, _SEQPACKET),
        name=attributes.get(_NAME, b"").rstrip(b"\0").replace(b"\0", b"@").decode(errors="replace"),
        peer=str(struct.unpack("=I", attributes[_PEER])[0]) if _PEER in attributes else "",
        waiting=tuple(map(str, struct.unpack(f"={len(waiting) // 4}I", waiting))),
        unread=struct.unpack("=II", attributes[_QUEUES])[1] if _QUEUES in attributes else 0,
        place=place,
    )
