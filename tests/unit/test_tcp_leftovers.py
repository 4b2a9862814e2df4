# SPDX-License-Identifier: MIT
"""What the kernel remembers of an image's connections is forgotten, nothing of anybody else's."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import NamedTuple

import pytest

from tests.unit import real, samples
from torqueckpt.identity import Owner
from torqueckpt.manifest import Connection
from torqueckpt.process import privileges, sockets
from torqueckpt.rights import tcp_leftovers

pytestmark = pytest.mark.skipif(
    not real.forgets_ended_connections(), reason="a kernel that cannot forget connections"
)


class Pair(NamedTuple):
    """A connection of this process's; ends: as a manifest has it."""

    ear: socket.socket
    call: socket.socket
    talk: socket.socket
    ends: Connection

    @property
    def port(self) -> int:
        return int(self.ends.remote_port)

    def states(self) -> list[tuple[int, str]]:
        """Of both its ends, by the port that is not where it was accepted: (state, inode)."""
        rows = [each for each in sockets.tcp() if self._is_its(each)]
        return sorted((each.state, each.inode) for each in rows)

    def _is_its(self, each: sockets.Tcp) -> bool:
        return {each.local[1], each.remote[1]} == {self.ends.local_port, self.ends.remote_port}

    def is_remembered(self) -> bool:
        """Once both its ends are closed."""
        self.talk.close()
        self.call.close()
        return bool(real.until(self.states, "what is left of it"))


@pytest.fixture
def pair() -> Iterator[Pair]:
    with ExitStack() as opened:
        ear = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
        call = opened.enter_context(socket.create_connection(ear.getsockname()))
        talk, _ = ear.accept()
        opened.enter_context(talk)
        yield Pair(ear, call, talk, Connection(*call.getsockname(), *call.getpeername()))


def forget(owner: Owner, *ends: Connection, listening: tuple[int, ...] = ()) -> int:
    manifest = samples.a_manifest()._replace(connections=ends, listening=listening)
    with privileges.acting_as(owner):
        return tcp_leftovers.forget(manifest, owner)


def test_a_connection_of_the_image_that_has_ended_is_forgotten(pair: Pair, user: Owner) -> None:
    assert pair.is_remembered()
    assert forget(user, pair.ends) == 1
    assert pair.states() == []


def test_one_that_is_in_no_manifest_is_remembered_on(pair: Pair, user: Owner) -> None:
    assert pair.is_remembered()
    assert forget(user, pair.ends._replace(local_port=1)) == 0
    assert pair.states() != []


def test_one_that_another_users_processes_have_goes_on(pair: Pair, user: Owner) -> None:
    assert forget(user, pair.ends, listening=(pair.port,)) == 0
    pair.call.send(b"still there")
    assert pair.talk.recv(100) == b"still there"


def test_one_that_waits_to_be_accepted_goes_on(pair: Pair, user: Owner) -> None:
    """No process has it: neither its inode nor its owner tells whose it is."""
    with socket.create_connection(pair.ear.getsockname()) as call:
        call.send(b"knock")
        ends = Connection(*call.getsockname(), *call.getpeername())
        assert forget(user, ends, listening=(pair.port,)) == 0
        talk, _ = pair.ear.accept()
        with talk:
            assert talk.recv(100) == b"knock"
            call.close()


def test_one_that_waits_to_be_accepted_and_was_closed_meanwhile_can_still_be_read(
    pair: Pair, user: Owner
) -> None:
    with socket.create_connection(pair.ear.getsockname()) as call:
        ends = Connection(*call.getsockname(), *call.getpeername())
        call.send(b"all of it")
    assert forget(user, ends, listening=(pair.port,)) == 0
    talk, _ = pair.ear.accept()
    with talk:
        assert talk.recv(100) == b"all of it"


@pytest.mark.parametrize("shut", [False, True])
def test_one_whose_other_end_is_still_read_loses_nothing(
    pair: Pair, user: Owner, shut: bool
) -> None:
    """An attack: the owner had these addresses once, and another user has them now."""
    pair.call.send(b"all of it")
    if shut:
        pair.call.shutdown(socket.SHUT_WR)
    else:
        pair.call.close()
        real.until(lambda: (sockets.FIN_WAIT2, "0") in pair.states(), "what is remembered of it")
    assert forget(user, pair.ends) == (0 if shut else 1)
    assert pair.talk.recv(100) == b"all of it"
    assert pair.talk.recv(100) == b""


def test_one_that_is_not_sent_to_its_end_yet_is_ended_for_its_owner_alone(
    root: None, user: Owner
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as ear:
        with privileges.acting_as(user):
            call = socket.create_connection(ear.getsockname())
        ends = Connection(*call.getsockname(), *call.getpeername())
        talk, _ = ear.accept()
        with talk:
            call.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    call.send(bytes(1 << 16))
            call.close()
            if not any(each.uid == user.uid and each.inode == "0" for each in sockets.tcp()):
                pytest.skip("a kernel that does not tell whose such a connection was")
            assert forget(privileges.owner("nobody"), ends) == 0
            assert forget(user, ends) == 1


def test_what_keeps_a_port_of_the_image_is_forgotten_unless_somebody_else_listens_there(
    pair: Pair, user: Owner
) -> None:
    pair.talk.close()  # this end first: it is the one that is remembered
    pair.call.close()
    assert real.until(pair.states, "what is left of it")
    assert forget(user, listening=(pair.port,)) == 0
    pair.ear.close()
    assert forget(user, listening=(pair.port + 1,)) == 0
    assert forget(user, listening=(pair.port,)) == 1
    assert pair.states() == []
