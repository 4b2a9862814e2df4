# SPDX-License-Identifier: MIT
"""Keep the job's own stdout and stderr complete, whichever job of the lineage writes them.

The batch system deletes or overwrites its spool files, so the lineage's output/ keeps what was
written up to each freeze; each checkpoint adds only what is new.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Iterable
from pathlib import PurePath

from torqueckpt import layout
from torqueckpt.files import content, job_script
from torqueckpt.manifest import Stream
from torqueckpt.process import proc
from torqueckpt.records import Cut, LiveStream
from torqueckpt.safe_files import Directory

NAMES = {1: "stdout", 2: "stderr"}
_C_SHELLS = ("csh", "tcsh", "bsd-csh")
_MOVED_BY = 16  # a C shell keeps its own so much higher, and gives them back to what it starts
_SPOOLED = {".OU": "stdout", ".ER": "stderr"}
_NUMBER = re.compile(r"[0-9]+")  # of a job id
Links = Iterable[tuple[int, int, str]]  # (pid, descriptor, what it points to)
_CHUNK = 1024 * 1024
_COMPARED = 64 * 1024


def of_job(job: str, leader: int, links: Links) -> tuple[LiveStream, ...]:
    """The regular files that a job writes to as stdout and stderr, before any restart.

    They are at descriptors 1 and 2 of its session leader, unless that has moved them, as a C shell
    does.  What the tree has open (links) under MOM's name for this job's output is it in any case.
    Joined ones (-j oe) are one stream.  Pipes and terminals are none.
    """
    spooled: dict[str, tuple[int, int]] = {}
    for pid, fd, path in links:
        name = _spooled_as(path, job)
        if name:
            spooled.setdefault(name, (pid, fd))
    found: list[LiveStream] = []
    shell = proc.stat(leader)
    moved = _MOVED_BY if shell is not None and shell.name in _C_SHELLS else 0
    for fd, name in NAMES.items():
        place = (leader, fd + moved)
        if name in spooled and not _spooled_as(_path(*place), job):
            place = spooled[name]
        stream = _stream(name, *place)
        if stream is not None and not any(_is_same(stream, each) for each in found):
            found.append(stream)
    return tuple(found)


def _spooled_as(path: str, job: str) -> str:
    """Which stream MOM keeps in a file of that name for this job; "" for all others."""
    where, number = PurePath(path), _NUMBER.match(job)
    of_job = number is not None and re.match(rf"{number.group()}(?![0-9])", where.name)
    return _SPOOLED.get(where.suffix, "") if of_job and job_script.is_moms(where) else ""


def _path(pid: int, fd: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/fd/{fd}")
    except OSError:
        return ""


def _stream(name: str, pid: int, fd: int) -> LiveStream | None:
    try:
        status = os.stat(f"/proc/{pid}/fd/{fd}")
    except OSError:
        return None
    path = _path(pid, fd)
    if not path or not stat.S_ISREG(status.st_mode):
        return None
    return LiveStream(name, path, status.st_dev, status.st_ino, 0, name)


def _is_same(one: LiveStream, other: LiveStream) -> bool:
    return (one.device, one.inode) == (other.device, other.inode)


def open_now(stream: LiveStream, links: Links) -> int:
    """Open a stream's file for reading: by its name, else as the tree has it open."""
    as_open = (f"/proc/{pid}/fd/{fd}" for pid, fd, path in links if path.startswith("/"))
    for path in (stream.path, *as_open):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError:
            continue
        status = os.fstat(fd)
        if (status.st_dev, status.st_ino) == (stream.device, stream.inode):
            return fd
        os.close(fd)
    raise FileNotFoundError(
        errno.ENOENT, f"its {stream.name} is gone, or not readable by its owner", stream.path
    )


def grow(output: Directory, stream: LiveStream, source: int, size_at_freeze: int) -> Stream:
    """Bring the kept copy of a stream up to the freeze, and fsync it; only what is new is copied.

    A job that has shortened its own output (and maybe written more since) gets another kept file:
    older generations still need the old one.
    """
    wanted = max(min(size_at_freeze, os.fstat(source).st_size) - stream.base, 0)
    kept = stream.kept
    if not _goes_on(output, kept, source, stream.base, wanted):
        kept = branch_name(output, stream.name)
    target = output.open_file(kept, os.O_WRONLY | os.O_CREAT)
    try:
        have = os.fstat(target).st_size
        _copy(source, stream.base + have, target, have, wanted - have)
        os.fsync(target)
    finally:
        os.close(target)
    output.sync()
    return Stream(name=stream.name, path=stream.path, kept=kept, size=wanted)


def replay(
    output: Directory,
    stream: Stream,
    target: int,
    progress: Callable[[int], None] = content.no_progress,
) -> None:
    """Append the output so far to what the new job's stdout already holds."""
    source = output.open_file(stream.kept, os.O_RDONLY)
    try:
        _copy(source, 0, target, os.fstat(target).st_size, stream.size, progress)
    finally:
        os.close(source)


def holds(output: Directory, stream: Stream, target: int) -> bool:
    """Whether the file behind `target` begins with the output so far, as some MOMs leave it."""
    if not 0 < stream.size <= os.fstat(target).st_size or _size(output, stream.kept) < stream.size:
        return False
    kept, at = output.open_file(stream.kept, os.O_RDONLY), 0
    try:
        while at < stream.size:
            count = min(stream.size - at, _CHUNK)
            if os.pread(kept, count, at) != os.pread(target, count, at):
                return False
            at += count
    finally:
        os.close(kept)
    return True


def cut(lineage: Directory, cut: Cut, target: int) -> None:
    """Cut the file to its size at the freeze, after what follows is safe in tails/."""
    with lineage.make(layout.TAILS) as tails:
        tail = tails.open_file(cut.tail, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            _copy(target, cut.size, tail, 0, os.fstat(target).st_size - cut.size)
            os.fsync(tail)
        finally:
            os.close(tail)
        tails.sync()
    os.ftruncate(target, cut.size)


def put_back(lineage: Directory, cut: Cut, target: int) -> None:
    """Undo cut(), unless the file has another length by now.

    It was not cut, or was written to since.
    """
    with lineage.make(layout.TAILS) as tails:
        if os.fstat(target).st_size != cut.size or not tails.has(cut.tail):
            return
        tail = tails.open_file(cut.tail, os.O_RDONLY)
        try:
            _copy(tail, 0, target, cut.size, os.fstat(tail).st_size)
        finally:
            os.close(tail)
        tails.remove(cut.tail)


def branch(output: Directory, stream: Stream, others: int) -> str:
    """Choose the kept file for a job that goes on from `stream`: the old one, or a copy.

    `others` is the largest size of it that another generation still needs.  Going on from an older
    generation takes a copy, so that the newer ones keep their output.
    """
    if others <= stream.size:
        fd = output.open_file(stream.kept, os.O_WRONLY)
        try:
            if os.fstat(fd).st_size < stream.size:  # cutting would fill it up with NUL bytes
                raise _too_short()
            os.ftruncate(fd, stream.size)  # what a checkpoint that failed had added
        finally:
            os.close(fd)
        return stream.kept
    name = branch_name(output, stream.name)
    target = output.open_file(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        replay(output, stream, target)
        os.fsync(target)
    finally:
        os.close(target)
    return name


def branch_name(output: Directory, name: str) -> str:
    taken = output.names()
    return next(f"{name}.{n}" for n in range(1, len(taken) + 2) if f"{name}.{n}" not in taken)


def _size(output: Directory, name: str) -> int:
    try:
        return os.stat(name, dir_fd=output.fd, follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0


def _too_short() -> OSError:
    return OSError(errno.EIO, "the job's output is shorter than it was at the freeze")


def _goes_on(output: Directory, kept: str, source: int, base: int, wanted: int) -> bool:
    """Whether the stream still begins with what was kept of it.

    Only the end of that is compared.
    """
    size = _size(output, kept)
    if size > wanted:
        return False
    if size == 0:
        return True
    last = min(size, _COMPARED)
    fd = output.open_file(kept, os.O_RDONLY)
    try:
        return os.pread(fd, last, size - last) == os.pread(source, last, base + size - last)
    finally:
        os.close(fd)


def _copy(
    source: int,
    start: int,
    target: int,
    position: int,
    count: int,
    progress: Callable[[int], None] = content.no_progress,
) -> None:
    """Copy `count` bytes; a target opened for append takes them at its end, which is `position`."""
    while count > 0:
        block = os.pread(source, min(count, _CHUNK), start)
        if not block:
            raise _too_short()
        done = 0
        while done < len(block):
            done += os.pwrite(target, block[done:], position + done)
        start, position, count = start + len(block), position + len(block), count - len(block)
        progress(len(block))
