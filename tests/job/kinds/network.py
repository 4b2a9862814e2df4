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
_EAR = """
ear = socket.socket(socket.AF_UNIX)
ear.bind(PLACE + "/ear")
ear.listen()
one = socket.socket(socket.AF_UNIX)
one.connect("ear")
two = ear.accept()[0]
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
        "unix socket, listening and connected, its path unlinked",
        _EAR
        + """
os.unlink(PLACE + "/ear")
one.sendall(b"in flight")
pause()
assert two.recv(99) == b"in flight" and ear.getsockname() == PLACE + "/ear"
assert not os.path.lexists("ear") and ear.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
""",
    ),
    Kind(
        "unix socket, listening and connected, its path renamed",
        _EAR
        + """
os.chmod("ear", 0o640)
os.rename("ear", "listener")
one.sendall(b"in flight")
pause()
assert two.recv(99) == b"in flight"
assert os.stat("listener").st_mode & 0o777 == 0o640 and not os.path.lexists("ear")
more = socket.socket(socket.AF_UNIX)
more.connect("listener")
assert ear.accept()
""",
    ),
    Kind(
        "unix socket, listening, in a directory that was renamed",
        """
os.makedirs("one/below")
ear = socket.socket(socket.AF_UNIX)
ear.bind(PLACE + "/one/below/ear")
ear.listen()
os.rename("one", "two")
pause()
more = socket.socket(socket.AF_UNIX)
more.connect("two/below/ear")
assert ear.accept() and not os.path.exists("one")
""",
    ),
    Kind(
        "unix socket, listening, in a directory that is gone",
        """
os.makedirs("one/below")
ear = socket.socket(socket.AF_UNIX)
ear.bind(PLACE + "/one/below/ear")
ear.listen()
os.unlink("one/below/ear")
os.removedirs("one/below")
pause()
assert not os.path.exists("one")
assert ear.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
""",
    ),
    Kind(
        "three unix sockets, bound to one path one after the other",
        """
ears = [socket.socket(socket.AF_UNIX) for _ in range(3)]
for number, ear in enumerate(ears):
    ear.bind(PLACE + "/ear")
    ear.listen()
    if number == 0:
        os.unlink("ear")
    elif number == 1:
        os.rename("ear", "second")
pause()
for name, ear in (("second", ears[1]), ("ear", ears[2])):
    more = socket.socket(socket.AF_UNIX)
    more.connect(name)
    assert ear.accept()
""",
    ),
    Kind(
        "unix datagram sockets, the path of one unlinked, that of the other renamed",
        """
ears = [socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2)]
for number, ear in enumerate(ears):
    ear.bind(f"{PLACE}/ear{number}")
speaker = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
speaker.connect("ear0")
speaker.send(b"in flight")
os.unlink("ear0")
os.rename("ear1", "ear2")
pause()
speaker.send(b"more")
assert ears[0].recv(99) == b"in flight" and ears[0].recv(99) == b"more"
speaker.connect("ear2")
speaker.send(b"more")
assert ears[1].recv(99) == b"more" and not os.path.lexists("ear0")
""",
    ),
    Kind(
        "unix socket with a relative path, renamed",
        """
ear = socket.socket(socket.AF_UNIX)
ear.bind("ear")
ear.listen()
os.rename("ear", "listener")
pause()
""",
        REFUSED,
        "relative",
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
    Kind(
        "UDP socket with a datagram that was not read",
        """
ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
ear.bind(("127.0.0.1", 0))
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.sendto(b"lost", ear.getsockname())
pause()
one.sendto(b"after", ear.getsockname())
assert ear.recv(99) == b"after"
""",
        WARNED,
        "were not read",
    ),
    Kind(
        "netlink socket with data",
        """
one = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
one.bind((0, 0))
one.send(struct.pack("IHHIIBxxx", 20, 18, 0x301, 1, 0, 0))
select.select([one], [], [])
pause()
assert one.recv(65536)
""",
        REFUSED,
        "netlink socket with data",
    ),
    Kind(
        "unix stream, shut down",
        """
one, two = socket.socketpair()
one.shutdown(socket.SHUT_WR)
pause()
assert two.recv(99) == b""
two.send(b"answer")
assert one.recv(99) == b"answer"
""",
    ),
    Kind(
        "unix stream that asks for its senders' credentials (SO_PASSCRED)",
        """
one, two = socket.socketpair()
two.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
pause()
one.send(b"x")
assert struct.unpack("3i", two.recvmsg(9, 99)[1][0][2])[0] == os.getpid()
""",
    ),
)
