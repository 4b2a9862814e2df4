# SPDX-License-Identifier: MIT
"""Read what /proc says of a process, once per question (source: proc(5)).

psutil is not used here: it costs a hook more time to import than the hook's whole own work, and its
creation time moves when the clock is set.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from torqueckpt.errors import ProcessReused
from torqueckpt.identity import ProcessId

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_USUAL_STATUS = 8192  # bytes
_NO_NAMES: Mapping[tuple[int, int], str] = {}


class Stat(NamedTuple):
    """One process at one moment."""

    pid: int
    name: str
    state: str
    ppid: int
    pgrp: int
    session: int
    start_ticks: int

    @property
    def id(self) -> ProcessId:
        return ProcessId(boot_id(), self.pid, self.start_ticks)

    @property
    def ended(self) -> bool:
        """A zombie has ended; it only waits for its parent."""
        return self.state in ("Z", "X")


class Credentials(NamedTuple):
    """The uids, gids and groups of a process, as /proc/PID/status has them.

    capabilities: those that it has, may take or passes on, a bit for each.
    """

    uids: tuple[int, int, int, int]  # real, effective, saved, file system
    gids: tuple[int, int, int, int]
    groups: tuple[int, ...]
    capabilities: int


@lru_cache(maxsize=1)
def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def stat(pid: int) -> Stat | None:
    """Read /proc/PID/stat; None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            line = file.read().decode("utf-8", "surrogateescape")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name stands in parentheses and may itself hold blanks and parentheses.
    before, _, after = line.rpartition(")")
    number, _, name = before.partition(" (")
    field = after.split()
    return Stat(
        pid=int(number),
        name=name,
        state=field[0],
        ppid=int(field[1]),
        pgrp=int(field[2]),
        session=int(field[3]),
        start_ticks=int(field[19]),
    )


def system_calls(pid: int) -> list[list[str]]:
    """The system call, by number and arguments, that each thread of a process is in."""
    found = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/syscall") as file:
                found.append(file.read().split())
    except (OSError, ProcessLookupError):  # ended meanwhile, or a kernel that does not tell
        return found
    return found


def alive(process: ProcessId) -> Stat | None:
    """Look the process up again; None when it has ended, or its pid is another's."""
    if process.boot_id != boot_id():
        return None
    now = stat(process.pid)
    if now is None or now.start_ticks != process.start_ticks or now.ended:
        return None
    return now


def still(process: ProcessId) -> Stat:
    """The process, checked to be the same one; ProcessReused when its pid is another's by now."""
    now = alive(process)
    if now is None:
        raise ProcessReused(pid=process.pid)
    return now


def still_me() -> ProcessId:
    """The identity of this very process."""
    me = stat(os.getpid())
    assert me is not None
    return me.id


def status(pid: int | str) -> bytes:
    """/proc/PID/status, for row(); pid may be self, or thread-self.  OSError."""
    fd = os.open(f"/proc/{pid}/status", os.O_RDONLY)
    try:
        text = block = os.read(fd, _USUAL_STATUS)
        while len(block) == _USUAL_STATUS:  # one with a thousand groups
            block = os.read(fd, _USUAL_STATUS)
            text += block
        return text
    finally:
        os.close(fd)


def row(status: bytes, name: bytes) -> bytes:
    """What stands behind `name` in /proc/PID/status; b"" where this kernel has no such row."""
    return status.partition(b"\n" + name + b":")[2].partition(b"\n")[0].strip()


def credentials(pid: int) -> Credentials | None:
    rows: dict[str, list[int]] = {}
    capabilities = 0
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            for line in file:
                name, _, values = line.partition(b":")
                if name in (b"Uid", b"Gid", b"Groups"):
                    rows[name.decode()] = [int(value) for value in values.split()]
                elif name in (b"CapInh", b"CapPrm", b"CapAmb"):
                    capabilities |= int(values, 16)
    except (FileNotFoundError, ProcessLookupError):
        return None
    uid, gid = rows["Uid"], rows["Gid"]
    return Credentials(
        (uid[0], uid[1], uid[2], uid[3]),
        (gid[0], gid[1], gid[2], gid[3]),
        tuple(rows["Groups"]),
        capabilities,
    )


def children(pid: int) -> list[int]:
    """Children of all threads of `pid`; a race with fork or exit shows either state."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                found += [int(child) for child in file.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        if os.path.exists(f"/proc/{pid}/task/{pid}/stat"):  # a kernel without PROC_CHILDREN
            return [each.pid for each in everything() if each.ppid == pid]
    return found


def everything() -> list[Stat]:
    """Every process of this node."""
    found = (stat(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return [each for each in found if each is not None]


def argv(pid: int) -> list[str]:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
    except (OSError, ProcessLookupError):
        return []
    return [word.decode("utf-8", "surrogateescape") for word in words[:-1]]


def cwd(pid: int) -> str:
    """The working directory of a process; "" when it may not be read."""
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except (OSError, ProcessLookupError):
        return ""


def environment(pid: int) -> dict[str, str]:
    """The environment that the process was started with; {} when it may not be read."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            text = file.read().decode("utf-8", "surrogateescape")
    except (OSError, ProcessLookupError):
        return {}
    return dict(item.split("=", 1) for item in text.split("\0") if "=" in item)


def descriptors(pid: int) -> list[int]:
    """The open descriptors of a process; none when it has ended or may not be looked at."""
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/fd")]
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        return []


def offset_and_flags(pid: int, fd: int) -> tuple[int, int]:
    """The offset and flags of an open descriptor, of a process that stands still."""
    with open(f"/proc/{pid}/fdinfo/{fd}") as file:
        rows = dict(line.split(":", 1) for line in file)
    return int(rows["pos"]), int(rows["flags"], 8)


def maps(pid: int) -> bytes:
    """The list of a process's mappings; b"" when it has ended."""
    try:
        with open(f"/proc/{pid}/maps", "rb") as file:
            return file.read()
    except (OSError, ProcessLookupError):
        return b""


def shared_maps(listed: bytes, names: Mapping[tuple[int, int], str] = _NO_NAMES) -> set[str]:
    """Paths of the files that are mapped shared and writable.

    names: of those whose opened name is gone, by device and inode; others of these are left out.
    """
    rows = (line.split(None, 5) for line in listed.split(b"\n") if b"s " in line)
    shared = (
        row
        for row in rows
        if len(row) == 6 and row[1][1:2] == b"w" and row[1][3:4] == b"s" and row[4] != b"0"
    )
    return {path for row in shared if (path := _path_of(row, names))}


def maps_below(listed: bytes, tops: tuple[str, ...]) -> set[str]:
    """Paths of the files below these directories that are mapped; they end with slashes."""
    begins = tuple(map(os.fsencode, tops))
    if not any(each in listed for each in begins):  # as of most processes
        return set()
    rows = (line.split(None, 5) for line in listed.split(b"\n"))
    return {_shown(row[5]) for row in rows if len(row) == 6 and row[5].startswith(begins)}


def _path_of(row: list[bytes], names: Mapping[tuple[int, int], str]) -> str:
    if not row[5].endswith(b" (deleted)"):
        return _shown(row[5])
    major, minor = (int(part, 16) for part in row[3].split(b":"))
    return names.get((os.makedev(major, minor), int(row[4])), "") if names else ""


def _shown(path: bytes) -> str:
    return os.fsdecode(path.replace(b"\\012", b"\n"))


def age_seconds(process: Stat) -> float:
    """How long ago a process started, whatever was done to the clock since."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - process.start_ticks / _TICKS_PER_SECOND


def start_epoch(process: ProcessId) -> int:
    """When a process started, in seconds of the epoch (by the clock as it goes now)."""
    with open("/proc/stat") as file:
        booted = next(int(line.split()[1]) for line in file if line.startswith("btime"))
    return booted + process.start_ticks // _TICKS_PER_SECOND
