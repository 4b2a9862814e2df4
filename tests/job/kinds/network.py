# SPDX-License-Identifier: MIT
"""Sockets, inside the tree and to others."""

from __future__ import annotations

from tests.job.kinds.kind import REFUSED, WARNED, Kind

_CONNECTED = """
ear = socket.socket(FAMILY)
ear.bind((HOST, 0))
ear.listen()
one = socket.create_connection(ear.getsockname()[:2])
two = ear.accept()[0]
"""
_TCP = _CONNECTED.replace("FAMILY", "socket.AF_INET").replace("HOST", '"127.0.0.1"')
_TCP6 = _CONNECTED.replace("FAMILY", "socket.AF_INET6").replace("HOST", '"::1"')
_SPEAK = """
one.sendall(b"in flight")
pause()
two.sendall(b"answer")
assert two.recv(99) == b"in flight" and one.recv(99) == b"answer"
"""

KINDS = (
    Kind("unix stream pair", "one, two = socket.socketpair()\n" + _SPEAK),
    Kind(
        "unix stream whose other end is closed",
        """
one, two = socket.socketpair()
two.sendall(b"last words")
two.close()
pause()
assert one.recv(99) == b"last words" and one.recv(99) == b""
""",
    ),
    Kind(
        "unix datagram pair",
        "one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\n" + _SPEAK,
    ),
    Kind(
        "unix sequenced-packet pair",
        "one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n" + _SPEAK,
    ),
    Kind(
        "unix socket, listening and connected",
        """
ear = socket.socket(socket.AF_UNIX)
ear.bind("ear")
ear.listen()
one = socket.socket(socket.AF_UNIX)
one.connect("ear")
two = ear.accept()[0]
one.sendall(b"in flight")
pause()
assert two.recv(99) == b"in flight"
more = socket.socket(socket.AF_UNIX)
more.connect("ear")
assert ear.accept()
""",
    ),
    Kind(
        "abstract unix socket",
        """
ear = socket.socket(socket.AF_UNIX)
ear.bind(f"\\0tckpt-{os.getpid()}")
ear.listen()
pause()
one = socket.socket(socket.AF_UNIX)
one.connect(f"\\0tckpt-{os.getpid()}")
assert ear.accept()
""",
    ),
    Kind(
        "descriptor in flight (SCM_RIGHTS)",
        """
one, two = socket.socketpair()
read_end, write_end = os.pipe()
socket.send_fds(one, [b"x"], [write_end])
os.close(write_end)
pause()
write_end = socket.recv_fds(two, 9, 1)[1][0]
os.write(write_end, b"through")
assert os.read(read_end, 99) == b"through"
""",
    ),
    Kind(
        "unix datagram socket to a process outside",
        """
one = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
one.connect(PLACE + "/outside")
one.send(b"before")
pause()
one.send(b"after")
""",
        outside="dgram",
    ),
    Kind(
        "unix datagram socket to an abstract name outside",
        """
one = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
one.connect("\\0" + PLACE)
one.send(b"before")
pause()
one.send(b"after")
""",
        outside="abstract",
    ),
    Kind(
        "unix datagram socket to a relative name outside",
        """
one = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
one.connect("outside")
pause()
one.send(b"after")
""",
        REFUSED,
        "found again",
        outside="relative",
        dumped=True,
    ),
    Kind(
        "unix stream to a process outside",
        """
one = socket.socket(socket.AF_UNIX)
one.connect("outside")
pause()
""",
        REFUSED,
        "outside",
        outside="stream",
    ),
    Kind(
        "unix connection that nobody has accepted yet",
        """
ear = socket.socket(socket.AF_UNIX)
ear.bind("ear")
ear.listen()
one = socket.socket(socket.AF_UNIX)
one.connect("ear")
pause()
one.sendall(b"after")
assert ear.accept()[0].recv(99) == b"after"
""",
    ),
    Kind(
        "unix connection that nobody has accepted yet, with data",
        """
ear = socket.socket(socket.AF_UNIX)
ear.bind("ear")
ear.listen()
one = socket.socket(socket.AF_UNIX)
one.connect("ear")
one.sendall(b"waiting")
pause()
""",
        REFUSED,
        "not accepted",
    ),
    Kind(
        "UDP socket",
        """
ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
ear.bind(("127.0.0.1", 0))
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.connect(ear.getsockname())
pause()
one.send(b"after")
assert ear.recv(99) == b"after"
""",
    ),
    Kind(
        "TCP socket, listening",
        """
ear = socket.socket()
ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
ear.bind(("127.0.0.1", 0))
ear.listen()
fresh = socket.socket()
pause()
fresh.connect(ear.getsockname())
assert ear.accept()
""",
    ),
    Kind("TCP connection inside the tree", _TCP + _SPEAK),
    Kind("TCP connection inside the tree, IPv6", _TCP6 + _SPEAK),
    Kind(
        "TCP connection inside the tree, half closed",
        _TCP
        + """
one.shutdown(socket.SHUT_WR)
pause()
assert two.recv(99) == b""
two.sendall(b"answer")
assert one.recv(99) == b"answer"
""",
        REFUSED,
        "half closed",
    ),
    Kind(
        "TCP connection that nobody has accepted yet",
        """
ear = socket.socket()
ear.bind(("127.0.0.1", 0))
ear.listen()
one = socket.create_connection(ear.getsockname())
pause()
""",
        REFUSED,
        "not accepted",
    ),
    Kind(
        "TCP connection to another program or node",
        """
one = socket.create_connection(("127.0.0.1", int(open("port").read())))
pause()
one.settimeout(1)
try:
    one.sendall(b"after")
    assert one.recv(9) == b""
except OSError:
    pass
""",
        WARNED,
        "TCP connection",
        outside="tcp",
    ),
    Kind(
        "netlink socket",
        """
one = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
one.bind((0, 0))
pause()
assert socket.if_nametoindex("lo") and one.getsockname()[0]
""",
    ),
)
