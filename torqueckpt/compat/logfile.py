# SPDX-License-Identifier: MIT
"""Module pbs: the log functions of TORQUE, in Python, with the line format of TORQUE 2.5.

MM/DD/YYYY HH:MM:SS;event;daemon;class;object;text - the event as four hex digits, the daemon's
name in ten columns.  Nothing here raises: a log that cannot be written loses lines.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TextIO

from torqueckpt.ifl.constants import LIMITS, LOGGING

_CLASSES = ["n/a", "Svr", "Que", "Job", "Req", "Fil", "Act", "node", "trqauthd"]
_SEVERITIES = {
    LOGGING["LOG_EMERG"]: "LOG_EMERGENCY",
    LOGGING["LOG_ALERT"]: "LOG_ALERT",
    LOGGING["LOG_CRIT"]: "LOG_CRITICAL",
    LOGGING["LOG_ERR"]: "LOG_ERROR",
    LOGGING["LOG_WARNING"]: "LOG_WARNING",
    LOGGING["LOG_NOTICE"]: "LOG_NOTICE",
    LOGGING["LOG_DEBUG"]: "LOG_DEBUG",
}
_FORCE = LOGGING["PBSEVENT_FORCE"]
_SYSTEM, _ERROR = LOGGING["PBSEVENT_SYSTEM"], LOGGING["PBSEVENT_ERROR"]
_SERVER = LOGGING["PBS_EVENTCLASS_SERVER"]


class _Log:
    """The one log of the process."""

    lock = threading.RLock()
    file: TextIO | None = None
    path = ""
    directory = ""
    day: str | None = None  # of a log that has one file per day
    suffix = ""
    host = ""
    daemon = "unset"
    event_mask = LOGGING["PBSEVENT_MASK"]


def log_init(suffix: str | None, hostname: str | None) -> int:
    """Set the suffix of daily files' names; %h is the host's name."""
    _Log.suffix, _Log.host = suffix or "", hostname or ""
    return 0


def log_open(filename: str | None, directory: str) -> int:
    """Open this file (absolute), or without a name the day's in the directory; gives 0 or -1."""
    with _Log.lock:
        if _Log.file is not None or (filename and not filename.startswith("/")):
            return -1
        _Log.directory = directory
        _Log.day = None if filename else time.strftime("%Y%m%d")
        _Log.path = filename or _daily_path()
        try:
            descriptor = os.open(_Log.path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
        except OSError:
            return -1
        _Log.file = os.fdopen(descriptor, "a", buffering=1, errors="surrogateescape")
        log_record(_SYSTEM, _SERVER, "Log", "Log opened")
        return 0


def log_close(message: int) -> None:
    """Close the log; a last line says so unless `message` is 0."""
    with _Log.lock:
        if _Log.file is None:
            return
        _Log.day = None
        if message:
            log_record(_SYSTEM, _SERVER, "Log", "Log closed")
        _Log.file.close()
        _Log.file = None


def log_record(eventtype: int, objclass: int, objname: str, text: str) -> None:
    """Write a line; further lines of the text are marked [continued]."""
    with _Log.lock:
        if _Log.day not in (None, time.strftime("%Y%m%d")):
            log_close(1)
            log_open(None, _Log.directory)
        if _Log.file is None:
            return
        head = (
            f"{time.strftime('%m/%d/%Y %H:%M:%S')};{eventtype & ~_FORCE:04x};"
            f"{_Log.daemon[:10]:>10};{_CLASSES[objclass]};{objname};"
        )
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        try:
            _Log.file.write(head + f"\n{head}[continued]".join(lines) + "\n")
        except OSError:
            return


def log_event(eventtype: int, objclass: int, objname: str, text: str) -> None:
    """Write a line if its event is wanted (cvar.log_event_mask)."""
    if eventtype & (_FORCE | _Log.event_mask):
        log_record(eventtype, objclass, objname, text)


def log_err(errnum: int, routine: str, text: str) -> None:
    """An error line; errnum is an errno, a PBSE number or -1 for neither."""
    log_ext(errnum, routine, text, LOGGING["LOG_ERR"])


def log_ext(errnum: int, routine: str, text: str, severity: int) -> None:
    """Write an error line with another severity than LOG_ERR.

    Also to stderr if that is a terminal.
    """
    from torqueckpt.compat.binding import pbs_strerror

    known = pbs_strerror(errnum) if errnum >= LIMITS["PBSE_"] else os.strerror(max(errnum, 0))
    reason = "" if errnum == -1 else f"{known or f'unexpected error {errnum}'} ({errnum}) in "
    line = f"{_SEVERITIES.get(severity, 'LOG_INFO')}::{reason}{routine}, {text}"
    if sys.stderr is not None and sys.stderr.isatty():
        print(f"{_Log.daemon}: {line}", file=sys.stderr)
    log_record(_ERROR | _FORCE, _SERVER, _Log.daemon, line)


def log_roll(max_depth: int) -> None:
    """Rename the log to .1, .1 to .2 and so on, and begin a new one."""
    with _Log.lock:
        if _Log.file is None:
            return
        daily, path = _Log.day is not None, _Log.path
        log_close(1)
        for depth in range(max_depth, 0, -1):
            older = f"{path}.{depth}"
            newer = path if depth == 1 else f"{path}.{depth - 1}"
            if os.path.exists(newer):
                os.replace(newer, older)
        log_open(None if daily else path, _Log.directory)
        log_record(_SYSTEM, _SERVER, "Log", "Log Rolled")


def log_size() -> int:
    """The size of the log in KB; 0 when none is open."""
    with _Log.lock:
        return 0 if _Log.file is None else os.fstat(_Log.file.fileno()).st_size // 1024


def log_remove_old(directory: str, seconds: int) -> int:
    """Remove log files that were not written to for so many seconds (0: none); gives 0 or -1."""
    if not directory:
        return -1
    if seconds == 0:
        return 0
    limit = time.time() - seconds
    try:
        for entry in os.scandir(directory):
            if entry.is_file(follow_symlinks=False) and entry.stat().st_mtime < limit:
                os.unlink(entry.path)
    except OSError:
        return -1
    return 0


def log_available(eventtype: int) -> int:
    """1 while a log is open."""
    return int(_Log.file is not None)


def _daily_path() -> str:
    name = time.strftime("%Y%m%d")
    if _Log.suffix.lower() == "%h":
        name += f".{_Log.host or os.uname().nodename}"
    elif _Log.suffix:
        name += f".{_Log.suffix}"
    return os.path.join(_Log.directory, name)
