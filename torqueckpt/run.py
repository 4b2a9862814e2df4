# SPDX-License-Identifier: MIT
"""Run a program: an argv list, absolute, a clean environment, a time limit."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO, NamedTuple, Optional

from torqueckpt.errors import ProgramMissing

_LOOK_SECONDS = 0.2
_HELD_SECONDS = 3.0  # for the output of a program that has ended: others may hold it open for ever
_TAIL = 64 * 1024  # bytes of what a program said last
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


class Finished(NamedTuple):
    """How a program ended; status is negative for a signal, None for the time limit."""

    program: str
    status: Optional[int]  # noqa: UP045 (read at run time, also by Python 3.9)
    output: str
    stderr: str
    wall_ms: int

    @property
    def ok(self) -> bool:
        return self.status == 0

    def last_line(self) -> str:
        lines = [line for line in self.stderr.splitlines() if line.strip()]
        return lines[-1].strip() if lines else ""


def run(
    argv: Sequence[str],
    *,
    timeout_seconds: float | None = None,
    environment: dict[str, str] | None = None,
    keep_fds: Sequence[int] = (),
    as_root: bool = False,
    directory: str = "/",
    stdin_text: str = "",
    in_child: Callable[[], None] | None = None,
    alone: bool = False,
    end_what_it_left: Callable[[int], object] | None = None,
) -> Finished:
    """Run a program to its end; it is killed at the time limit (a stopped program is ended too).

    alone: in a session of its own, of which nothing outlives it: a checkpointer that is killed may
    leave a helper behind, stopped for ever, with all descriptors that it was given.
    in_child: called in the child before the program is there, with the ids that it will have.
    end_what_it_left: called with its status, again and again, when it has ended and others still
    hold its output.
    as_root: with root's real ids back, for a program that will itself become the owner.
    ProgramMissing when it cannot be started; a failure is in the result, for the caller to word.
    """
    before = time.monotonic()
    try:
        child = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE if stdin_text else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": PATH, "LANG": "C.UTF-8", **(environment or {})},
            pass_fds=tuple(keep_fds),
            cwd=directory,
            user=0 if as_root and os.geteuid() != 0 else None,
            group=0 if as_root and os.geteuid() != 0 else None,
            preexec_fn=in_child,
            start_new_session=alone,
        )
    except OSError as problem:
        raise ProgramMissing(program=argv[0], problem=problem.strerror) from problem
    return _ended(child, argv[0], before, stdin_text, timeout_seconds, alone, end_what_it_left)


def begin(argv: Sequence[str], timeout_seconds: float) -> Callable[[], Finished]:
    """Start a program; gives a function that waits for its end, as run() does."""
    before = time.monotonic()
    child = _started(argv, subprocess.PIPE, subprocess.PIPE)
    return lambda: _ended(child, argv[0], before, "", timeout_seconds, False, None)


class Running:
    """A program that runs while its caller goes on; it is killed at the time limit.

    Its stderr goes to a file, so that nobody has to read along.
    """

    def __init__(self, argv: Sequence[str], timeout_seconds: float) -> None:
        self._argv, self._began = argv, time.monotonic()
        self._until = self._began + timeout_seconds
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (it is closed once it has ended)
        try:
            self._child = _started(argv, subprocess.DEVNULL, self._said)
        except ProgramMissing:
            self._said.close()
            raise

    @property
    def seconds(self) -> float:
        """How long it has run."""
        return time.monotonic() - self._began

    def ended(self) -> Finished | None:
        """How it ended, once; None while it runs."""
        late = time.monotonic() > self._until
        if self._child.poll() is None:
            if late:
                self._child.kill()
            return None
        with self._said as said:
            size = said.seek(0, os.SEEK_END)
            said.seek(max(size - _TAIL, 0))
            text = said.read(_TAIL).decode("utf-8", "replace")
        status = None if late and self._child.returncode < 0 else self._child.returncode
        return Finished(self._argv[0], status, "", text, int(self.seconds * 1000))


def _started(argv: Sequence[str], stdout: int, stderr: int | IO[bytes]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env={"PATH": PATH, "LANG": "C.UTF-8"},
            cwd="/",
        )
    except OSError as problem:
        raise ProgramMissing(program=argv[0], problem=problem.strerror) from problem


def _ended(
    child: subprocess.Popen[bytes],
    program: str,
    before: float,
    stdin_text: str,
    timeout_seconds: float | None,
    alone: bool,
    end_what_it_left: Callable[[int], object] | None,
) -> Finished:
    try:
        output, errors = _communicate(child, stdin_text, timeout_seconds, alone, end_what_it_left)
        status: int | None = child.returncode
    except subprocess.TimeoutExpired as late:
        status = child.poll()  # its own when it had ended, and its children held the pipe open
        if alone:
            _kill_session(child)
        child.kill()
        output, errors = late.output or b"", _what_is_left(child)
    return Finished(
        program=program,
        status=status,
        output=output.decode("utf-8", "replace"),
        stderr=errors.decode("utf-8", "replace"),
        wall_ms=int((time.monotonic() - before) * 1000),
    )


def hold_nothing_back() -> None:
    """Let all signals through, whatever the caller holds back: for in_child."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _communicate(
    child: subprocess.Popen[bytes],
    stdin_text: str,
    seconds: float | None,
    alone: bool,
    end_what_it_left: Callable[[int], object] | None,
) -> tuple[bytes, bytes]:
    """Read all that it prints, but do not wait for programs that it has left behind."""
    given: bytes | None = stdin_text.encode() or None
    if not alone and end_what_it_left is None:
        return child.communicate(given, seconds)
    until, has_ended = math.inf if seconds is None else time.monotonic() + seconds, False
    while True:
        try:
            return child.communicate(given, min(_LOOK_SECONDS, until - time.monotonic()))
        except subprocess.TimeoutExpired as late:
            given = None  # it goes on with the rest by itself
            ended = _how_it_ended(child)
            if ended is not None and not has_ended:
                until, has_ended = min(until, time.monotonic() + _HELD_SECONDS), True
            if ended is not None and alone:
                _kill_session(child)
            if ended is not None and end_what_it_left is not None:
                end_what_it_left(ended)
            if time.monotonic() >= until:
                raise late


def _how_it_ended(child: subprocess.Popen[bytes]) -> int | None:
    """Its exit status, or the signal; None while it runs.  It is not reaped yet.

    As long as it is a zombie its number is nobody else's.
    """
    if child.returncode is not None:
        return child.returncode
    ended = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return None if ended is None else ended.si_status


def _kill_session(child: subprocess.Popen[bytes]) -> None:
    if child.returncode is None:
        with suppress(PermissionError):  # not the owner's yet
            os.killpg(child.pid, signal.SIGKILL)


def _what_is_left(child: subprocess.Popen[bytes]) -> bytes:
    """Read the stderr of a killed program, not for long: its children may hold the pipe open."""
    try:
        return child.communicate(timeout=2)[1]
    except subprocess.TimeoutExpired as held:
        return held.stderr or b"its children went on after it was killed"
