# SPDX-License-Identifier: MIT
"""Connect `torqueckpt checkpoint|hold|release` with the `torqueckpt run` that plays the job's MOM.

A UNIX socket; one JSON line each way.  The kernel says who calls: the job's owner and root may.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torqueckpt import typed_json
from torqueckpt.errors import MomGone, TorqueCkptError

VERBS = ("checkpoint", "hold", "release")
_LINE = 4096
_ANSWER = 64 * 1024
_LONGEST = _ANSWER // 16  # characters of a message: JSON makes twelve bytes of some
_SPEAKS_WITHIN_SECONDS = 10  # only root and the job's owner are waited for


class Answer(NamedTuple):
    """The MOM's answer: exit_code 0 and an empty message on success."""

    exit_code: int
    message: str


@dataclass
class Caller:
    """A connection with its request; answer() may come much later."""

    connection: socket.socket
    verb: str

    def refuse(self, error: TorqueCkptError) -> None:
        self.answer(error.exit_code, str(error))

    def answer(self, exit_code: int, message: str) -> None:
        try:
            line = typed_json.dump(Answer(exit_code, message[:_LONGEST]))
            self.connection.sendall(line + b"\n")
        except OSError:
            return  # the caller did not wait for it
        finally:
            self.connection.close()


def listen(path: Path) -> socket.socket:
    """Make the listener, which every user can connect to: accept() looks who it is."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    listener.bind(str(path))
    os.chmod(path, 0o666)
    listener.listen(8)
    listener.setblocking(False)
    return listener


def accept(listener: socket.socket, owner_uid: int) -> Caller | None:
    """Accept the next caller; None when it is another user, sends no request, or has gone."""
    try:
        connection, _ = listener.accept()
        connection.settimeout(_SPEAKS_WITHIN_SECONDS)
        peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        if struct.unpack("3i", peer)[1] not in (0, owner_uid):  # nobody else is waited for
            Caller(connection, "").answer(1, "not your job")
            return None
        verb = connection.recv(_LINE).decode("ascii", "replace").strip()
    except OSError:
        return None
    caller = Caller(connection, verb)
    if verb not in VERBS:
        caller.answer(1, f"{verb!r} is none of {', '.join(VERBS)}")
        return None
    return caller


def listens(path: Path) -> bool:
    """Whether the MOM of this socket's job still runs."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True


def ask(path: Path, verb: str, job: str) -> Answer:
    """Send the job's MOM a request, and wait for its answer; MomGone when it does not run."""
    gone = MomGone(job=job, remedy=f"submit the script of `torqueckpt resume-job {job}`")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(str(path))
            with suppress(
                BrokenPipeError, ConnectionResetError
            ):  # refused unheard: the answer is there
                connection.sendall(f"{verb}\n".encode())
            line = connection.makefile("rb").readline(_ANSWER)
            return typed_json.from_json(Answer, typed_json.load(line))
        except (OSError, typed_json.Malformed) as nobody:
            raise gone from nobody
