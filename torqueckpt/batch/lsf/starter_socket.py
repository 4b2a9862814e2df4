# SPDX-License-Identifier: MIT
"""Connect a job's starter with the programs that LSF runs beside the job.

It is a UNIX socket with an abstract name, so nothing of it lies in a directory that is moved,
cleaned or full.  Both ends look whose program is at the other: only the job's owner is heard.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple, TypeVar

from torqueckpt import log, typed_json
from torqueckpt.process import job_processes, proc, signals

_NAME = "torqueckpt-lsf"

_CALL_SECONDS, _LEAVE_SECONDS = 5.0, 10.0

_LARGEST = 64 * 1024
_LONGEST = _LARGEST // 16  # characters of a reason: JSON makes twelve bytes of some

T = TypeVar("T")


class Request(NamedTuple):
    """What the starter is to do: suspend, resume or checkpoint.

    after: what then becomes of the job.
    """

    verb: str
    after: str = ""


class Answer(NamedTuple):
    """The starter's answer: the job's state, why the request failed, and the job's image.

    A state is running, stopped, saved or ended.
    """

    state: str
    reason: str
    lineage: str = ""
    generation: int = 0


class StarterListener:
    """The listener of a job's starter, which gets SIGIO when somebody connects.

    Who waits for that signal holds it back.
    """

    WAKES = signal.SIGIO

    def __init__(self, job: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        fcntl.fcntl(self._socket, fcntl.F_SETOWN, os.getpid())
        flags = fcntl.fcntl(self._socket, fcntl.F_GETFL)
        fcntl.fcntl(self._socket, fcntl.F_SETFL, flags | fcntl.FASYNC)
        # The end of the name is nobody's to guess, and so nobody's to take beforehand.
        self._socket.bind(f"\0{_NAME}/{os.getuid()}/{job}/{secrets.token_hex(8)}")
        self._socket.listen(8)

    def calls(self) -> Iterator[tuple[Request, socket.socket]]:
        """Accept those who have connected by now; gives each request with its connection."""
        while True:
            try:
                caller, _ = self._socket.accept()
            except BlockingIOError:
                return
            with caller:
                if _other_end(caller)[1] != os.getuid():
                    log.warning(f"a connection by another user, {_other_end(caller)[1]}")
                    continue
                caller.settimeout(_CALL_SECONDS)
                try:
                    asked = _heard(caller, Request)
                except (OSError, typed_json.Malformed) as broken:
                    log.warning(f"a connection without a request: {broken}")
                    continue
                yield asked, caller


def reply(caller: socket.socket, answer: Answer, wait: bool) -> None:
    """Send the answer; wait: until the caller has used it, and closes the connection."""
    with suppress(OSError):  # he has gone already: what was done is done
        _say(caller, answer._replace(reason=answer.reason[:_LONGEST]))
        if wait:
            caller.settimeout(_LEAVE_SECONDS)
            caller.recv(1)


def connect(job: str | None, group: int | None) -> socket.socket | None:
    """Connect to the starter of a job, or of a process group or tree; None when there is none."""
    for name in _names(f"@{_NAME}/{os.getuid()}/{job}/" if job else f"@{_NAME}/{os.getuid()}/"):
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        line.settimeout(_CALL_SECONDS)  # it may be another user's, who lets us wait
        with suppress(OSError):
            line.connect(f"\0{name[1:]}")
            line.settimeout(None)
            pid, uid = _other_end(line)
            if uid == os.getuid() and (group is None or _in_group(pid, group)):
                _wake(pid)
                return line
        line.close()
    return None


def pid_of(line: socket.socket) -> int:
    """The starter that a connection leads to."""
    return _other_end(line)[0]


def request(line: socket.socket, asked: Request) -> Answer:
    """Send a request and wait for the answer, without a limit.

    The starter has limits of its own.
    """
    try:
        _say(line, asked)
        return _heard(line, Answer)
    except (OSError, typed_json.Malformed):
        return Answer("ended", "the job's starter has ended")


def _names(begin: str) -> list[str]:
    """The abstract socket names that begin so."""
    with open("/proc/net/unix", errors="surrogateescape") as file:
        found = {row.split()[7] for row in file if begin in row}
    return sorted(name for name in found if name.startswith(begin))


def _wake(pid: int) -> None:
    """Let the starter run on: a user may have stopped it by hand, together with the job."""
    starter = proc.stat(pid)
    if starter is not None and starter.state == "T":
        signals.send(starter.id, signal.SIGCONT)


def _in_group(pid: int, group: int) -> bool:
    process = proc.stat(pid)
    return process is not None and group in (process.pgrp, pid, *job_processes.above(process))


def _other_end(line: socket.socket) -> tuple[int, int]:
    """(pid, uid) of the process at the other end."""
    credentials = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", credentials)
    return pid, uid


def _say(line: socket.socket, words: Request | Answer) -> None:
    line.sendall(typed_json.dump(words) + b"\n")


def _heard(line: socket.socket, kind: type[T]) -> T:
    text = b""
    while not text.endswith(b"\n") and len(text) < _LARGEST:
        block = line.recv(4096)
        if not block:
            break
        text += block
    return typed_json.from_json(kind, typed_json.load(text))
