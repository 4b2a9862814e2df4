# SPDX-License-Identifier: MIT
"""Root's process for TCP connections: what it does for criu, and what a hostile one gets of it."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path

import pytest

from tests.support import wait_until
from torqueckpt.identity import Owner
from torqueckpt.manifest import Connection
from torqueckpt.process import privileges, proc, sockets
from torqueckpt.rights import tcp_repair, tcp_save, tcp_socket
from torqueckpt.rights.tcp_repair import Repair

_LIBRARY = Path("/nonexistent")
_SAVE, _RESTORE = 1, 2
_BIND, _CONNECT, _DATA, _QUEUE, _SEQ, _WINDOW = 1001, 1002, 1003, 20, 21, 29
_NEW_NETWORK = 0x40000000
_STATE = struct.Struct("=2I5I3I")

Pair = tuple[socket.socket, socket.socket]


def connected(user: Owner) -> Pair:
    with privileges.acting_as(user), socket.create_server(("127.0.0.1", 0)) as ear:
        mouth = socket.create_connection(ear.getsockname())
        return mouth, ear.accept()[0]


@pytest.fixture
def pair(root: None, user: Owner) -> Iterator[Pair]:
    one, other = connected(user)
    with closing(one), closing(other):
        yield one, other


@pytest.fixture
def saving(root: None, user: Owner) -> Iterator[Repair]:
    me = proc.stat(os.getpid())
    assert me is not None
    with privileges.acting_as(user), tcp_repair.saving(_LIBRARY, user, me, 60) as repair:
        yield repair


def asked(repair: Repair, kind: int, fd: int, body: bytes = b"") -> tuple[int, bytes, list[int]]:
    """Ask as the library in criu does: the errno, what came with the answer, its descriptors."""
    with socket.socket(socket.AF_UNIX) as to:
        to.connect(repair.environment["TORQUECKPT_TCP_REPAIR"])
        socket.send_fds(to, [struct.pack("=II", kind, len(body))], [fd])
        with suppress(BrokenPipeError):
            to.sendall(body)
        head, fds, _, _ = socket.recv_fds(to, 8, 1)
        problem, length = struct.unpack("=II", head) if head else (-1, 0)
        answer = b""
        while len(answer) < length:
            answer += to.recv(length - len(answer))
        return problem, answer, fds


def address(port: int) -> bytes:
    return struct.pack("=H", socket.AF_INET) + struct.pack(
        ">H4s8x", port, socket.inet_aton("127.0.0.1")
    )


def in_repair(it: socket.socket) -> int:
    return it.getsockopt(socket.IPPROTO_TCP, tcp_socket.REPAIR)


def test_both_ends_are_read_at_one_moment_and_go_on(saving: Repair, pair: Pair) -> None:
    one, other = pair
    one.sendall(b"under way")
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    problem, first, _ = asked(saving, _SAVE, other.fileno())
    assert problem == 0
    one.sendall(b", and later")
    problem, second, _ = asked(saving, _SAVE, one.fileno())
    assert problem == 0
    received, sent = _STATE.unpack_from(first)[:2]
    assert _STATE.unpack_from(second)[:2] == (sent, received)
    assert first[_STATE.size :] == b"under way"
    assert second[_STATE.size :] == b""
    assert (in_repair(one), in_repair(other)) == (0, 0)
    reuse = [each.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) for each in pair]
    assert reuse == [1, 0]
    assert other.recv(100) == b"under way, and later"
    ends = tcp_socket.ends(other), tcp_socket.ends(one)
    assert saving.report() == (ends, "")


def of_another_network(user: Owner) -> socket.socket:
    """A connected socket's descriptor, from a network namespace of its own."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert ctypes.CDLL(None).unshare(_NEW_NETWORK) == 0
            with socket.socket() as any_one:  # SIOCSIFFLAGS, IFF_UP
                fcntl.ioctl(any_one, 0x8914, struct.pack("=16sh14x", b"lo", 1))
            one, _other = connected(user)
            socket.send_fds(theirs, [b"."], [one.fileno()])
            status = 0
        finally:
            os._exit(status)
    with closing(ours), closing(theirs):
        theirs.close()
        fds = socket.recv_fds(ours, 1, 1)[1]
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    return socket.socket(fileno=fds[0])


def listening(user: Owner) -> socket.socket:
    with privileges.acting_as(user):
        return socket.create_server(("127.0.0.1", 0))


def unconnected(user: Owner) -> socket.socket:
    with privileges.acting_as(user):
        return socket.socket()


def roots(user: Owner) -> socket.socket:
    return connected(Owner("root", 0, 0, ()))[0]


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (listening, "not connected"),
        (unconnected, "not connected"),
        (roots, "another user's"),
        (of_another_network, "network namespace"),
    ],
)
def test_other_sockets_are_refused(
    root: None, user: Owner, make: Callable[[Owner], socket.socket], why: str
) -> None:
    given = make(user)
    me = proc.stat(os.getpid())
    assert me is not None
    with closing(given), tcp_repair.saving(_LIBRARY, user, me, 60) as repair:
        assert asked(repair, _SAVE, given.fileno())[0] > 0
        report = repair.report()
        assert report.connections == ()
        assert why in report.problem
        assert in_repair(given) == 0


def test_what_is_no_tcp_socket_is_refused(root: None, saving: Repair) -> None:
    with open("/etc/passwd") as file:
        assert asked(saving, _SAVE, file.fileno())[0] > 0


def test_a_connection_of_a_process_outside_of_the_job_is_refused(
    root: None, user: Owner, pair: Pair
) -> None:
    outside = subprocess.Popen(["/bin/sleep", "6000"])
    try:
        tree = proc.stat(outside.pid)
        assert tree is not None
        with tcp_repair.saving(_LIBRARY, user, tree, 60) as repair:
            assert asked(repair, _SAVE, pair[0].fileno())[0] > 0
    finally:
        outside.kill()
        outside.wait()
    assert in_repair(pair[0]) == 0


def test_who_is_refused_gets_nothing_more(saving: Repair, pair: Pair) -> None:
    assert asked(saving, _RESTORE, pair[0].fileno())[0] > 0
    with pytest.raises(OSError):
        asked(saving, _SAVE, pair[1].fileno())


def test_a_connection_is_read_once(saving: Repair, pair: Pair) -> None:
    assert asked(saving, _SAVE, pair[0].fileno())[0] == 0
    assert asked(saving, _SAVE, pair[0].fileno())[0] > 0


def test_another_user_cannot_ask(root: None, saving: Repair, user: Owner) -> None:
    another = Owner("another", user.uid + 1, user.gid + 1, ())
    place = saving.environment["TORQUECKPT_TCP_REPAIR"]
    with (
        socket.socket(socket.AF_UNIX) as to,
        privileges.acting_as_root(),
        privileges.acting_as(another),
    ):
        assert to.connect_ex(place) == errno.EACCES


def test_one_who_says_nothing_is_left_and_the_dump_fails(
    root: None, user: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp_repair, "_REQUEST_SECONDS", 0.1)
    me = proc.stat(os.getpid())
    assert me is not None
    with tcp_repair.saving(_LIBRARY, user, me, 60) as repair, socket.socket(socket.AF_UNIX) as to:
        to.connect(repair.environment["TORQUECKPT_TCP_REPAIR"])
        assert to.recv(8)[:4] != bytes(4)
        assert "timed out" in repair.report().problem


def test_requests_without_end_have_one(
    root: None, user: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp_repair, "_MOST", 3)
    me = proc.stat(os.getpid())
    assert me is not None
    with ExitStack() as opened, tcp_repair.saving(_LIBRARY, user, me, 60) as repair:
        pairs = [connected(user) for _ in range(2)]
        ends = [opened.enter_context(closing(each)) for pair in pairs for each in pair]
        for each in ends[:3]:
            assert asked(repair, _SAVE, each.fileno())[0] == 0
        with pytest.raises(OSError):
            asked(repair, _SAVE, ends[3].fileno())


def test_a_process_that_was_killed_is_told_of(saving: Repair, pair: Pair) -> None:
    assert asked(saving, _SAVE, pair[0].fileno())[0] == 0
    os.kill(saving._pid, signal.SIGKILL)
    assert "killed" in saving.report().problem
    assert (in_repair(pair[0]), in_repair(pair[1])) == (0, 0)


def test_a_process_that_was_killed_leaves_no_directory_and_no_socket_in_repair_mode(
    pair: Pair, user: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp_save, "_numbers", lambda _: signal.pause())
    me = proc.stat(os.getpid())
    assert me is not None
    with privileges.acting_as(user), tcp_repair.saving(_LIBRARY, user, me, 60) as repair:
        request = threading.Thread(target=asked, args=(repair, _SAVE, pair[0].fileno()))
        request.start()
        wait_until(lambda: in_repair(pair[0]) and in_repair(pair[1]))
        os.kill(repair._pid, signal.SIGKILL)
        request.join()
        assert "killed" in repair.report().problem
    assert (in_repair(pair[0]), in_repair(pair[1])) == (0, 0)
    assert not Path(repair.environment["TORQUECKPT_TCP_REPAIR"]).parent.exists()
    pair[0].sendall(b"goes on")
    assert pair[1].recv(100) == b"goes on"


def test_of_a_process_that_is_ended_no_directory_is_left(
    root: None, user: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its caller does not wait until it has come to that."""
    monkeypatch.setattr(tcp_repair._Server, "serve", lambda *_: signal.pause())
    me = proc.stat(os.getpid())
    assert me is not None
    with privileges.acting_as(user), tcp_repair.saving(_LIBRARY, user, me, 60) as repair:
        place = Path(repair.environment["TORQUECKPT_TCP_REPAIR"]).parent
        assert place.exists()
    assert not place.exists()


def repeat(call: Callable[[], object], done: threading.Event) -> None:
    while not done.is_set():
        call()


def test_an_owner_who_does_what_he_can_to_a_socket_meanwhile_gets_no_port_of_anothers(
    root: None, user: Owner
) -> None:
    """He disconnects it, binds it to a port where root listens, and listens, all the time."""
    me = proc.stat(os.getpid())
    assert me is not None
    victim = socket.create_server(("127.0.0.1", 0))
    port = victim.getsockname()[1]
    library, nowhere = ctypes.CDLL(None), ctypes.create_string_buffer(16)
    place = address(port)
    with closing(victim):
        for _ in range(50):
            one, other = connected(user)
            with closing(one), closing(other):
                done = threading.Event()
                fd = one.fileno()
                calls = (
                    partial(library.connect, fd, nowhere, 16),
                    partial(library.bind, fd, place, 16),
                    partial(library.listen, fd, 5),
                )
                with tcp_repair.saving(_LIBRARY, user, me, 60) as repair:
                    hostile = [threading.Thread(target=repeat, args=(call, done)) for call in calls]
                    for each in hostile:
                        each.start()
                    asked(repair, _SAVE, one.fileno())
                    done.set()
                    for each in hostile:
                        each.join()
                assert in_repair(one) == 0
                assert in_repair(other) == 0
                there = [each for each in sockets.tcp() if each.local[1] == port]
                assert [each.uid for each in there if each.state == sockets.LISTENING] == [0]


# --- at a restore


@pytest.fixture
def restoring(root: None, user: Owner) -> Iterator[Repair]:
    known = (Connection("127.0.0.1", 1023, "127.0.0.1", 9),)
    with privileges.acting_as(user), tcp_repair.restoring(_LIBRARY, user, known, 60) as repair:
        yield repair


def steps(local: int, remote: int, unread: bytes = b"") -> bytes:
    def number(value: int) -> bytes:
        return struct.pack("=I", value)

    window = struct.pack("=5I", 1000, 65536, 65536, 65536, 1000 + len(unread))
    done = [(_BIND, address(local))]
    for queue in (1, 2):
        done += [(_QUEUE, number(queue)), (_SEQ, number(1000))]
    done += [(_CONNECT, address(remote))]
    if unread:
        done += [(_QUEUE, number(1)), (_DATA, unread)]
    done += [(_WINDOW, window)]
    return b"".join(struct.pack("=II", kind, len(value)) + value for kind, value in done)


def free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]


def connect_all(repair: Repair) -> bytes:
    """What at-freeze asks for."""
    os.write(repair.fds[0], b"\n")
    answer = b""
    while not answer.endswith(b"\n"):
        answer += os.read(repair.fds[1], 1)
    return answer


def bound(repair: Repair, given: socket.socket, body: bytes) -> socket.socket:
    problem, _, fds = asked(repair, _RESTORE, given.fileno(), body)
    assert problem == 0, os.strerror(problem)
    return socket.socket(fileno=fds[0])


def test_a_connection_with_both_ends_in_the_image_is_made(restoring: Repair, user: Owner) -> None:
    one, other = free_ports()
    with unconnected(user) as given, unconnected(user) as second:
        here = bound(restoring, given, steps(one, other, b"unread"))
        there = bound(restoring, second, steps(other, one))
    with closing(here), closing(there):
        assert in_repair(here) == 0
        assert tcp_socket.ends(here) is None
        assert connect_all(restoring) == b"connected\n"
        assert (in_repair(here), in_repair(there)) == (0, 0)
        assert restoring.report().problem == ""
        assert here.recv(100) == b"unread"


def test_a_connection_that_never_was_is_not_made(restoring: Repair, user: Owner) -> None:
    with socket.create_server(("127.0.0.1", 0)) as victim:
        with unconnected(user) as given:
            here = bound(restoring, given, steps(free_ports()[0], victim.getsockname()[1]))
        with closing(here):
            assert connect_all(restoring) == b"refused\n"
            assert in_repair(here) == 0
            assert tcp_socket.ends(here) is None
    assert "not in the manifest" in restoring.report().problem


def test_a_port_that_only_root_may_have_is_refused(restoring: Repair, user: Owner) -> None:
    with unconnected(user) as given:
        assert asked(restoring, _RESTORE, given.fileno(), steps(1023, 9))[0] > 0
    assert "Permission denied" in restoring.report().problem


def test_a_port_where_another_user_listens_is_refused(restoring: Repair, user: Owner) -> None:
    with privileges.acting_as_root(), socket.create_server(("127.0.0.1", 0)) as victim:
        taken = victim.getsockname()[1]
        with unconnected(user) as given:
            assert asked(restoring, _RESTORE, given.fileno(), steps(taken, 9))[0] > 0
    assert "in use" in restoring.report().problem


def test_one_that_was_connected_elsewhere_meanwhile_ends_closed(
    restoring: Repair, user: Owner
) -> None:
    one, other = free_ports()
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        with unconnected(user) as given, unconnected(user) as second:
            here = bound(restoring, given, steps(one, other))
            there = bound(restoring, second, steps(other, one))
        with closing(here), closing(there):
            here.setblocking(True)
            here.connect(elsewhere.getsockname())
            assert connect_all(restoring) == b"refused\n"
            for each in (here, there):
                assert in_repair(each) == 0
                assert tcp_socket.ends(each) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"half",
        steps(40000, 9)[:-1],
        struct.pack("=II", 13, 4) + bytes(4),  # another option
        struct.pack("=II", _QUEUE, 4) + bytes(4),  # no addresses
        steps(40000, 9) + steps(40000, 9),  # two of each
        struct.pack("=II", _BIND, 0) + struct.pack("=II", _CONNECT, 0),
        (struct.pack("=II", _QUEUE, 4) + bytes(4)) * 1000,
    ],
    ids=["nothing", "half a step", "half a value", "option", "unbound", "two", "empty", "many"],
)
def test_odd_steps_are_refused(restoring: Repair, user: Owner, body: bytes) -> None:
    with unconnected(user) as given:
        assert asked(restoring, _RESTORE, given.fileno(), body)[0] > 0
    assert restoring.report().problem
