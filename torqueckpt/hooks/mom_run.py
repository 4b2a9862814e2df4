# SPDX-License-Identifier: MIT
"""mom-run: pbs_mom's $checkpoint_run_exe, through which it starts checkpointable jobs.

    mom-run SHELL [ARGUMENT…]

It becomes the login shell that MOM itself would have started: argv[0] with a dash, the same
environment to the byte, the same signals.  With BLCR it goes through cr_run first, which has the
shell load BLCR's library.  It must never be the reason that a job fails: where anything of that is
missing, the job starts without.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress

_LOADED = "--loaded"


def main(argv: list[str]) -> int:
    """Never returns when there is a shell to become; 254, as MOM's own failure, when not."""
    if not argv:
        return _failed("no shell named; usage: mom-run SHELL [ARGUMENT…]")
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, and exec would pass that on
        signal.signal(ignored, signal.SIG_DFL)
    if argv[0] == _LOADED:
        argv = argv[1:]
    else:
        _through_cr_run(argv)
    shell = os.fsencode(argv[0])
    words = [b"-" + os.path.basename(shell), *map(os.fsencode, argv[1:])]
    try:
        os.execve(shell, words, _environment())
    except OSError as problem:
        return _failed(f"{argv[0]}: {problem.strerror}")


def _through_cr_run(argv: list[str]) -> None:
    """Come back here by way of cr_run, where the settings name BLCR; returns where that fails."""
    try:
        from torqueckpt import paths, settings

        chosen = settings.load()
    except Exception:  # each checkpoint tells what is wrong there; the job's output is the job's
        return
    if chosen.checkpointer != "blcr":
        return
    program, ourselves = chosen.blcr_dir / "cr_run", paths.program("sbin", "mom-run")
    try:
        os.execve(program, [str(program), str(ourselves), _LOADED, *argv], _environment())
    except OSError as problem:  # whatever it is, the job comes first
        with suppress(OSError):
            print(f"mom-run: started without cr_run: {problem}", file=sys.stderr)


def _failed(problem: str) -> int:
    print(f"mom-run: {problem}", file=sys.stderr)
    return 254


def _environment() -> dict[bytes, bytes]:
    """As it was at our own exec: Python has set LC_CTYPE since where the locale is C."""
    try:
        with open("/proc/self/environ", "rb") as file:
            given = file.read()
    except OSError:
        return dict(os.environb)
    return dict(item.split(b"=", 1) for item in given.split(b"\0") if b"=" in item)
