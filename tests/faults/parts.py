# SPDX-License-Identifier: MIT
"""Find the processes that take part in a checkpoint or a restart, by what they are."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from tests.support import stat_fields


def _children(pid: int) -> list[int]:
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    with suppress(FileNotFoundError, ProcessLookupError):
        return [int(each) for listed in lists for each in listed.read_text().split()]
    return []


def _below(top: int) -> list[int]:
    """A process, and all below it."""
    return [top, *(pid for child in _children(top) for pid in _below(child))]


def part(who: str, top: int, uid: int) -> int | None:
    """The process that plays this part, of those below `top`; None while there is none."""
    for pid in _below(top):
        with suppress(FileNotFoundError, ProcessLookupError):
            if _plays(who, pid, top, uid):
                return pid
    return None


def _plays(who: str, pid: int, top: int, uid: int) -> bool:
    forked, his, leads = _forked(pid), status(pid, "Uid")[0] == str(uid), _leads(pid)
    if who in ("hook", "session"):
        return pid == top
    if who == "keeper":
        return forked and not his and any(_name(each) == "timeout" for each in _children(pid))
    if who in ("timeout", "criu"):
        return _name(pid) == who and b"--images-dir\0" in _words(pid)
    if who in ("worker", "verifier"):
        return forked and his and not leads
    if who == "guard":
        return forked and his and leads
    if who == "connections":
        return forked and not his and _listens(pid)
    if who == "resume":
        return _name(pid) == "torqueckpt" and b"\0resume\0" in _words(pid)
    return not forked and _name(pid) == {"door": "rootdoor"}.get(who, who)


def _words(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def _forked(pid: int) -> bool:
    """Whether it is a part of its parent's program, which it has forked."""
    return b"torqueckpt" in _words(pid) and _words(pid) == _words(int(stat_fields(pid)[1]))


def _leads(pid: int) -> bool:
    """Whether it has a session of its own."""
    return int(stat_fields(pid)[3]) == pid


def _listens(pid: int) -> bool:
    """Whether it has the socket at which CRIU finds root's process for connections."""
    rows = [row.split() for row in Path("/proc/net/unix").read_text().splitlines()]
    ours = {f"socket:[{row[6]}]" for row in rows if len(row) > 7 and "torqueckpt-tcp" in row[7]}
    return bool(ours & {os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()})


def status(pid: int, name: str) -> list[str]:
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(row.split()[1:] for row in rows if row.startswith(f"{name}:"))
