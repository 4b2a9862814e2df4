# SPDX-License-Identifier: MIT
"""Save and restore TCP connections for a CRIU that may not do it itself.

The kernel tells a connection's state, and takes one, in repair mode alone, which wants
CAP_NET_ADMIN.  Who has a socket in that mode can do more with it than CRIU does: listen where
another user listens, send in the name of a connection that never was.  So nobody gets one.  A
process of root's waits for a library in criu (criu-plugin/tcp-repair.c), switches the mode on, does
itself what there is to do (tcp_save.py, tcp_connect.py), and switches it off.  Whatever the owner
does to a socket meanwhile, it leaves that mode as what it was to be, or closed.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, NoReturn

from torqueckpt import log, typed_json
from torqueckpt.identity import Owner
from torqueckpt.manifest import Connection
from torqueckpt.process import open_files, privileges, proc
from torqueckpt.rights import run_directory, tcp_socket
from torqueckpt.rights.tcp_connect import MOST_BYTES, Connector
from torqueckpt.rights.tcp_save import Saver
from torqueckpt.rights.tcp_socket import Refused

_SOCKET = "TORQUECKPT_TCP_REPAIR"  # where criu finds root's process
_ASK, _DONE = "TORQUECKPT_TCP_ASK", "TORQUECKPT_TCP_DONE"  # the pipes that at-freeze uses
_CONNECT_ALL, _END = b"\n", b"x"

_MOST = 65536  # connections of a job
_REQUEST_SECONDS = 10  # criu sends at once what it has to send
_ENDING_SECONDS = 15

# tcp-repair.c has the same
_SAVE, _RESTORE = 1, 2
_HEAD = struct.Struct("=II")


class Report(NamedTuple):
    """What root's process reports at its end: the connections that it has read, what went wrong."""

    connections: tuple[Connection, ...]
    problem: str


class Repair:
    """Root's process for one dump or restore; environment and descriptors are for criu."""

    def __init__(self, library: Path, owner: Owner, seconds: float, work: Saver | Connector):
        with privileges.acting_as_root():
            self._directory = run_directory.make("tcp-")
            place = self._directory.path
            listener = _listening(place, owner)
        self._work = work
        asked, self._ask = os.pipe()
        self._answer, answers = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            _serve(_Server(listener, asked, answers, owner, work), place, seconds)
        for each in (asked, answers):
            os.close(each)
        listener.close()
        self.fds = (self._ask, self._answer)
        self.environment = {
            "LD_PRELOAD": str(library),
            _SOCKET: str(place / "socket"),
            _ASK: str(self._ask),
            _DONE: str(self._answer),
        }

    def report(self) -> Report:
        """Have the process end, once what it is at is done, and report."""
        with suppress(BrokenPipeError):
            os.write(self._ask, _END)
        text, until = b"", time.monotonic() + _ENDING_SECONDS
        while select.select([self._answer], [], [], max(until - time.monotonic(), 0))[0]:
            block = os.read(self._answer, 1 << 16)
            if not block:
                break
            text += block
        self.end(reported=bool(text))
        try:  # a line before it was for at-freeze
            return typed_json.from_json(Report, typed_json.load(text.rpartition(b"\n")[2]))
        except typed_json.Malformed:
            return Report((), "root's process for TCP connections was killed")

    def end(self, reported: bool = False) -> None:
        """Kill the process, and tidy up if it was killed before; it may have ended already."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            run_directory.remove(self._directory.path)
            if not reported and isinstance(self._work, Saver):
                with privileges.acting_as_root():
                    self._work.let_all_go()
            self._directory.close()
            self._pid = 0
            os.close(self._ask)
            os.close(self._answer)


@contextmanager
def saving(library: Path, owner: Owner, root: proc.Stat, seconds: float) -> Iterator[Repair]:
    """Inside, root's process reads connections of the tree below root for a criu that dumps it."""
    repair = Repair(library, owner, seconds, Saver(owner, root))
    try:
        yield repair
    finally:
        repair.end()


@contextmanager
def restoring(
    library: Path, owner: Owner, known: tuple[Connection, ...], seconds: float
) -> Iterator[Repair]:
    """Inside, root's process makes connections for a criu that restores; known: the manifest's."""
    repair = Repair(library, owner, seconds, Connector(owner, known))
    try:
        yield repair
    finally:
        repair.end()


def _listening(place: Path, owner: Owner) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(place / "socket"))
    os.chown(place / "socket", owner.uid, 0)
    os.chmod(place / "socket", 0o600)
    os.chmod(place, 0o711)
    listener.listen(1024)
    return listener


def _serve(server: _Server, place: Path, seconds: float) -> NoReturn:
    """In the forked process: root again, with nothing of the caller's."""
    status = 1
    try:
        os.setsid()
        with privileges.acting_as_root(), open_files.as_many_as_may_be():
            server.serve(time.monotonic() + seconds)
        status = 0
    except BaseException as failure:
        log.traceback_of(failure)
    finally:
        with suppress(OSError):
            run_directory.remove(place)
        os._exit(status)


class _Server:
    """What root's process does."""

    def __init__(
        self,
        listener: socket.socket,
        asked: int,
        answers: int,
        owner: Owner,
        work: Saver | Connector,
    ) -> None:
        self._listener, self._asked, self._answers = listener, asked, answers
        self._owner, self._work = owner, work
        self._left = MOST_BYTES
        self._problem = ""

    def serve(self, until: float) -> None:
        _close_all_but(self._listener.fileno(), self._asked, self._answers)
        waits = [self._asked, self._listener]
        for _ in range(_MOST):
            ready = select.select(waits, [], [], max(until - time.monotonic(), 0))[0]
            if self._asked in ready:
                if os.read(self._asked, 1) == _CONNECT_ALL:
                    self._connect_all()
                break
            if not ready:
                break
            peer, _ = self._listener.accept()
            with peer:
                try:
                    self._answer(peer)
                except (BrokenPipeError, ConnectionResetError):  # criu ends, and says why
                    break
                except (Refused, OSError) as problem:  # who is refused gets no second try
                    self._failed(problem)
                    with suppress(OSError):
                        reason = getattr(problem, "errno", None) or errno.EPERM
                        peer.sendall(_HEAD.pack(reason, 0))
                    break
        connections = self._work.saved.values() if isinstance(self._work, Saver) else ()
        report = Report(tuple(connections), self._problem)
        with suppress(BrokenPipeError), open(self._answers, "w") as pipe:  # its caller was killed
            json.dump(typed_json.plain(report), pipe)

    def _answer(self, peer: socket.socket) -> None:
        until = time.monotonic() + _REQUEST_SECONDS
        peer.settimeout(_REQUEST_SECONDS)
        head, fds, _, _ = socket.recv_fds(peer, _HEAD.size, 1)
        if not head:
            raise ConnectionResetError
        if len(head) != _HEAD.size or len(fds) != 1:
            raise Refused("no request")
        kind, length = _HEAD.unpack(head)
        with tcp_socket.of_owner(fds[0], self._owner) as given:
            if kind == _SAVE and isinstance(self._work, Saver):
                state = self._work.state(given)
                peer.sendall(_HEAD.pack(0, len(state)) + state)
            elif kind == _RESTORE and isinstance(self._work, Connector):
                made = self._work.bound(given, self._body(peer, length, until))
                socket.send_fds(peer, [_HEAD.pack(0, 0)], [made.fileno()])
            else:
                raise Refused(f"request {kind}")

    def _body(self, peer: socket.socket, length: int, until: float) -> bytes:
        self._left -= length
        if self._left < 0:
            raise Refused("too much waits in their queues")
        body = b""
        while len(body) < length:
            peer.settimeout(max(until - time.monotonic(), 0.001))
            block = peer.recv(length - len(body))
            if not block:
                raise ConnectionResetError
            body += block
        return body

    def _connect_all(self) -> None:
        word = b"refused\n"
        if isinstance(self._work, Connector):
            try:
                self._work.connect_all()
                word = b"connected\n"
            except (Refused, OSError) as problem:
                self._failed(problem)
        os.write(self._answers, word)

    def _failed(self, problem: Exception) -> None:
        self._problem = f"its TCP connections: {problem}"
        log.warning(f"{self._owner.name}: {self._problem}")


def _close_all_but(*kept: int) -> None:
    """Close what the caller had open: locks, pipes whose other ends wait for the last to close."""
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd > 2 and fd not in kept:
            with suppress(OSError):  # that of the list itself
                os.close(fd)
