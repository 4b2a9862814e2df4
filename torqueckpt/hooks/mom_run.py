# SPDX-License-Identifier: MIT
"""mom-run: pbs_mom's $checkpoint_run_exe, through which it starts checkpointable jobs.

    mom-run SHELL [ARGUMENT…]

It becomes the login shell that MOM itself would have started: argv[0] with a dash, the same
environment to the byte, the same signals.  With BLCR it goes through cr_run first, which has the
shell load BLCR's library.  With the others the shell is told to start the job's script by way of
mom-run again: with DMTCP that has dmtcp_launch do it, else it asks for the processes of the job
that lose their parent, and becomes the script; so daemons and helpers stay in the tree that is
dumped.  The shell itself stays outside in all cases.

It must never be the reason that a job fails: what is missing of that, the job starts without.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import stat
import sys
import termios
from contextlib import suppress
from typing import TYPE_CHECKING

from torqueckpt.process.inherited import environment

if TYPE_CHECKING:
    from torqueckpt.settings import Settings

_LOADED, _LAUNCH, _STAY = "--loaded", "--launch", "--stay"
_LONGEST_COMMAND = 65536  # what a pipe holds
_LONGEST_SCRIPT = 1024 * 1024
# A resume job's script, or a chain's: what it restores has been launched before, and sudo must not
# be.
_RESUMES = re.compile(rb"^\s*(exec\s+)?\S*torqueckpt\s+(resume|link\s+--chain)\s", re.MULTILINE)
_EXEC = b"exec "  # MOM's $exec_with_exec: without the shell, what is dumped would have no parent
_MOMS_PIPES = (9, 14)  # that the shell and the script inherit
# Shells that run a script without a first line themselves; the others leave that to /bin/sh.
_RUN_IT_THEMSELVES = ("bash", "ksh", "ksh93", "mksh")
_C_SHELLS = ("csh", "tcsh")  # that do so where the script begins with a comment
# Shells that wait for those only that they have started themselves.  Others, as ksh and programs in
# Python or Perl (`1 while wait() != -1`), wait for every child, also for a daemon they are given.
_WAIT_FOR_OWN = {"sh", "ash", "dash", "bash", "rbash", "zsh", "csh", "tcsh", "fish"}
_WAIT_FOR_ALL = {"ksh", "ksh93", "rksh"}  # as sh may be


def main(argv: list[str]) -> int:
    """Become the shell; gives 254, as MOM's own failure does, when there is none."""
    if not argv:
        return _failed("no shell named; usage: mom-run SHELL [ARGUMENT…]")
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, and exec would pass that on
        signal.signal(ignored, signal.SIG_DFL)
    if argv[0] == _LAUNCH and len(argv) > 2:
        return _launch(argv[1], argv[2:])
    if argv[0] == _STAY and len(argv) > 2:
        return _stay(argv[1], argv[2:])
    chosen = _settings()
    interactive = os.isatty(0)
    if argv[0] == _LOADED:
        argv = argv[1:]
    elif interactive:
        _say("torqueckpt: an interactive job cannot be checkpointed; submit a script for that")
    elif chosen is not None and chosen.checkpointer == "blcr":
        _through_cr_run(argv, chosen)
    elif chosen is not None:
        _tell_shell(_LAUNCH if chosen.checkpointer == "dmtcp" else _STAY, argv[0])
    login = interactive or chosen is None or chosen.login_shell
    shell = os.fsencode(argv[0])
    words = [b"-" * login + os.path.basename(shell), *map(os.fsencode, argv[1:])]
    try:
        os.execve(shell, words, environment())
    except OSError as problem:
        return _failed(f"{argv[0]}: {problem.strerror}")


def _settings() -> Settings | None:
    """Read the settings.

    None when unreadable: each checkpoint reports that, not the job's output.
    """
    try:
        from torqueckpt import settings

        return settings.load()
    except Exception:
        return None


def _ourselves() -> str:
    from torqueckpt import paths

    return str(paths.program("sbin", "mom-run"))


def _through_cr_run(argv: list[str], chosen: Settings) -> None:
    """Run this program again below cr_run; returns where that fails."""
    program = chosen.blcr_dir / "cr_run"
    try:
        os.execve(program, [str(program), _ourselves(), _LOADED, *argv], environment())
    except OSError as problem:  # whatever it is, the job comes first
        _started_without("cr_run", problem)


def _tell_shell(how: str, shell: str) -> None:
    """Put this program in front of the script's path, which the shell reads from MOM's pipe."""
    try:
        if not stat.S_ISFIFO(os.fstat(0).st_mode):
            return
        line = b""
        while not line.endswith(b"\n") and len(line) < _LONGEST_COMMAND // 2:
            read = os.read(0, 1)
            if not read:
                break
            line += read
        line = line[len(_EXEC) :] if line.startswith(_EXEC + b"/") else line
        front = f"{_ourselves()} {how} {shell} ".encode() if line.startswith(b"/") else b""
        waits = int.from_bytes(fcntl.ioctl(0, termios.FIONREAD, bytes(4)), sys.byteorder)
        more = os.read(0, min(waits, _LONGEST_COMMAND // 4)) if waits else b""
        read_end, write_end = os.pipe()
        os.write(write_end, front + line + more)
        os.close(write_end)
        os.dup2(read_end, 0)
        os.close(read_end)
    except OSError as problem:
        _started_without(how[2:], problem)


def _stay(shell: str, command: list[str]) -> int:
    """Become the script, which is given the processes of the job that have lost their parent."""
    try:
        from torqueckpt.process import system_calls

        names = _interpreters(shell, command[0])
        if _WAIT_FOR_OWN & names and not _WAIT_FOR_ALL & names:
            system_calls.prctl(system_calls.SET_CHILD_SUBREAPER, 1)
    except (ImportError, OSError) as problem:
        _started_without("its daemons being kept in it", problem)
    given = environment()
    if b"_" in given:
        given[b"_"] = os.fsencode(command[0])  # as the shell would have had it
    try:
        try:
            os.execve(command[0], command, given)
        except OSError as problem:
            if problem.errno != errno.ENOEXEC:
                raise
        words = [_interpreter(shell, command[0]), *command]
        os.execve(words[0], words, given)
    except OSError as problem:
        _failed(f"{command[0]}: {problem.strerror}")
        return 126  # a shell's own


def _interpreters(shell: str, script: str) -> set[str]:
    """Names of what runs a script, as far as its first line has them."""
    with open(script, "rb") as file:
        first = file.readline(_LONGEST_COMMAND)
    words = first[2:].split()[:3] if first.startswith(b"#!") else [os.fsencode(shell)]
    files = {*words, *map(os.path.realpath, words)}
    return {os.fsdecode(os.path.basename(file)) for file in files}


def _interpreter(shell: str, script: str) -> str:
    """The shell that runs a script without a first line, as the login shell would have chosen."""
    name = os.path.basename(shell)
    if name in _C_SHELLS:
        with open(script, "rb") as file:
            return shell if file.read(1) == b"#" else "/bin/sh"
    return shell if name in _RUN_IT_THEMSELVES else "/bin/sh"


def _launch(shell: str, command: list[str]) -> int:
    """Become dmtcp_launch, which starts the job's script."""
    try:
        with open(command[0], "rb") as script:
            text = script.read(_LONGEST_SCRIPT)
    except OSError as problem:
        return _failed(f"{command[0]}: {problem.strerror}")
    words = command if text.startswith((b"#!", b"\x7fELF")) else [shell, *command]
    try:
        if not _RESUMES.search(text):
            _launched(words)
    except Exception as problem:
        _started_without("DMTCP", problem)
    try:
        os.execve(words[0], words, environment())
    except OSError as problem:
        return _failed(f"{words[0]}: {problem.strerror}")


def _launched(words: list[str]) -> None:
    from torqueckpt import settings
    from torqueckpt.checkpointers import registry

    argv = registry.load("dmtcp", settings.load()).launch_argv(words)
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)  # a pipe's other end, which is MOM's, could not be saved
    for fd in {null, *_MOMS_PIPES} - {0}:
        with suppress(OSError):
            os.close(fd)
    os.setpgid(0, 0)  # a process group whose leader is not saved could not come back
    os.execve(argv[0], argv, environment())


def _started_without(what: str, problem: Exception) -> None:
    _say(f"mom-run: started without {what}: {problem}")


def _say(line: str) -> None:
    with suppress(OSError):
        print(line, file=sys.stderr)


def _failed(problem: str) -> int:
    print(f"mom-run: {problem}", file=sys.stderr)
    return 254
