# SPDX-License-Identifier: MIT
"""Unpack an image's compressed files for its restore, which asks for one after the other.

They are written nowhere a second time.  Who unpacks them has become the job's owner for good: root
unpacks nothing that a user wrote.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import NamedTuple

from torqueckpt import compression, log
from torqueckpt.checkpointers.base import Stream
from torqueckpt.identity import Owner
from torqueckpt.manifest import PACKED
from torqueckpt.process import privileges
from torqueckpt.process.worker import OwnerWorker

_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ, which fcntl knows since Python 3.10
_PIPE_BYTES = 1024 * 1024
_FITS_A_PIPE = 4096  # also into that of a user who has too many of them
_FITTING = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class _Done(NamedTuple):
    """The empty result of the worker that serves files."""


@contextmanager
def served(stream: Stream, image_dir: Path, owner: Owner) -> Iterator[None]:
    """Inside, a worker hands files to the restore at the stream's socket.

    Called acting as the owner.

    image_dir is root's (image_view.py), so that nobody else can wait there in our place.
    """
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with privileges.acting_as_root():
        place = str(image_dir / stream.socket_name)
        listening.bind(place)
        os.chmod(place, 0o600)
        os.chown(place, owner.uid, owner.gid)
    listening.listen()
    ended, ours = os.pipe()

    def serve() -> _Done:
        os.close(ours)
        while _somebody_asks(listening, ended):
            connection, _ = listening.accept()
            with connection:
                _answer(stream, connection, image_dir)
        return _Done()

    serving = OwnerWorker(owner, serve)
    os.close(ended)
    listening.close()
    try:
        yield
    finally:
        serving.stop()
        os.close(ours)


def _somebody_asks(listening: socket.socket, ended: int) -> bool:
    """Wait for a restore that asks; False once the caller has ended, killed perhaps."""
    ready, _, _ = select.select([listening, ended], [], [])
    return ended not in ready


def _answer(stream: Stream, connection: socket.socket, image_dir: Path) -> None:
    """Hand over files until the restore has all, or has ended."""
    names = set(os.listdir(image_dir))
    try:
        with connection.makefile("rb", buffering=0) as requests:
            while name := stream.asked(lambda size: requests.read(size) or b""):
                packed = name not in names and f"{name}{PACKED}" in names
                there = packed or name in names
                connection.sendall(stream.answer(there))
                if there:
                    _, (to, *_), _, _ = socket.recv_fds(connection, 1, 1)
                    _hand_over(image_dir / f"{name}{PACKED if packed else ''}", packed, to)
    except (OSError, ValueError) as broken:
        log.warning(f"{image_dir}: the restore broke off: {broken}")


def _hand_over(path: Path, packed: bool, to: int) -> None:
    """Write a file's content to a pipe, in a thread: the restore does not read them in turn."""
    with ExitStack() as stack:
        pipe = stack.enter_context(open(to, "wb", buffering=0))
        file = stack.enter_context(open(os.open(path, _FITTING), "rb", buffering=0))
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{path} is no regular file")
        opened = stack.pop_all()

    def write() -> None:
        with opened:
            plain = iter(lambda: file.read(_PIPE_BYTES), b"")
            try:
                for piece in compression.unpacked(file.fileno()) if packed else plain:
                    rest = memoryview(piece)
                    while rest:
                        rest = rest[pipe.write(rest) :]
            except BrokenPipeError:  # the restore does not want the rest
                return
            except (OSError, ValueError) as damaged:  # it learns so by an early end
                log.error(f"{path}: {damaged}")

    if status.st_size <= _FITS_A_PIPE and not packed:
        write()
        return
    with suppress(OSError):  # only faster
        fcntl.fcntl(to, _SET_PIPE_SIZE, _PIPE_BYTES)
    Thread(target=write, daemon=True).start()
