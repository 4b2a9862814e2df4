# SPDX-License-Identifier: MIT
"""Running a program: an argv list, absolute, a clean environment, a time limit."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from torqueckpt.errors import ProgramMissing

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Finished:
    """How a program ended; status is negative for a signal, None when the time limit ended it."""

    program: str
    status: int | None
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
    no_signal_held_back: bool = False,
) -> Finished:
    """Run to the end; KILLed after the time limit (a stopped program is ended too).

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
            preexec_fn=_hold_nothing_back if no_signal_held_back else None,
        )
    except OSError as problem:
        raise ProgramMissing(program=argv[0], problem=problem.strerror) from problem
    try:
        output, errors = child.communicate(stdin_text.encode() or None, timeout_seconds)
        status: int | None = child.returncode
    except subprocess.TimeoutExpired as late:
        status = child.poll()  # its own when it had ended, and its children held the pipe open
        child.kill()
        output, errors = late.output or b"", _what_is_left(child)
    return Finished(
        program=argv[0],
        status=status,
        output=output.decode("utf-8", "replace"),
        stderr=errors.decode("utf-8", "replace"),
        wall_ms=int((time.monotonic() - before) * 1000),
    )


def _hold_nothing_back() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _what_is_left(child: subprocess.Popen[bytes]) -> bytes:
    """stderr of a killed program; its own children may hold the pipe open, so not for long."""
    try:
        return child.communicate(timeout=2)[1]
    except subprocess.TimeoutExpired as held:
        return held.stderr or b"its children went on after it was killed"
