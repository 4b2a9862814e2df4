# SPDX-License-Identifier: MIT
"""Log what hooks do, to syslog and a generation's log file; and end programs quickly.

stdout belongs to nobody in a hook and stderr becomes the job's comment, so neither is used here.
"""

from __future__ import annotations

import os
import sys
import syslog
import time
from collections import deque
from contextlib import suppress
from typing import NoReturn

_RANK = {"info": syslog.LOG_INFO, "warning": syslog.LOG_WARNING, "error": syslog.LOG_ERR}

_LONGEST = 16 * 1024  # characters of a line, which may tell what a user wrote
_lines: deque[str] = deque(maxlen=2000)  # no hook has so many, and a service runs for ever
DAEMON = "/dev/log"
_TAKEN_SECONDS = 0.2
_SILENT_SECONDS = 10.0  # a daemon that did not take a line is left alone for so long
_silent_until = 0.0
_program = "torqueckpt"


def start(program: str) -> None:
    """Set the program's name in syslog; without a syslog daemon lines are lost silently."""
    global _program
    _program = f"torqueckpt/{program}"


def info(line: str) -> None:
    _note("info", line)


def warning(line: str) -> None:
    _note("warning", line)


def error(line: str) -> None:
    _note("error", line)


def traceback_of(failure: BaseException) -> None:
    import traceback  # only a bug pays for its import

    for line in traceback.format_exception(type(failure), failure, failure.__traceback__):
        for part in line.rstrip().splitlines():
            _note("error", part)


def lines() -> str:
    """The lines that this process has logged: what a generation's `log` file gets.

    Of a service that has logged thousands, the latest.
    """
    return "".join(f"{line}\n" for line in _lines)


def _note(rank: str, line: str) -> None:
    printable = one_line(line[:_LONGEST])
    _lines.append(f"{rank}: {printable}")
    _send(_RANK[rank], printable)


def _send(priority: int, line: str) -> None:
    """Give a line to the syslog daemon; one that hangs is not waited for, as syslog(3) would."""
    global _silent_until
    if time.monotonic() < _silent_until:
        return
    import socket  # not every program has anything to tell

    when = time.strftime("%b %e %H:%M:%S")
    text = f"<{syslog.LOG_DAEMON | priority}>{when} {_program}[{os.getpid()}]: {line}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
            daemon.settimeout(_TAKEN_SECONDS)
            daemon.connect(DAEMON)
            daemon.send(text.encode("utf-8", "backslashreplace"))
    except socket.timeout:
        _silent_until = time.monotonic() + _SILENT_SECONDS
    except OSError:  # there is none, or not one that takes datagrams
        return


def one_line(text: str) -> str:
    """Escape every control character of `text`, newlines included."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def leave(status: int) -> NoReturn:
    """End at once: what Python would tidy up first, for milliseconds, the kernel frees anyway."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:  # closed when the program began
                stream.flush()
        except BrokenPipeError:  # nobody wants the rest
            pass
        except OSError as problem:
            status = status or 1
            with suppress(OSError):  # nor that
                os.write(2, f"the output could not be written: {problem.strerror}\n".encode())
    os._exit(status)
