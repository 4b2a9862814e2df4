# SPDX-License-Identifier: MIT
"""Sample, compare and copy the bytes of files; samples show whether a file was rewritten."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterable

import xxhash

from torqueckpt.manifest import Block

KERNELS = ("/proc/", "/sys/")  # no files that could be kept; a process's own are there once it is
_FICLONE = 0x40049409
_CHUNK = 1024 * 1024
_WHOLE = 256 * 1024  # a file up to this size is sampled whole
_SAMPLE = 32 * 1024
_SAMPLES = 8


def no_progress(count: int) -> None:
    """Progress callback for callers that show none."""


def open_regular(path: str, flags: int) -> int:
    """Open `path`, which must be a regular file and no link; else OSError."""
    if not stat.S_ISREG(os.lstat(path).st_mode):  # opening a device may do something
        raise OSError(errno.EINVAL, "is no regular file", path)
    fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "is no regular file", path)
    return fd


def leased() -> set[tuple[int, int]]:
    """Device and inode of each file under a write lease: who opens it signals the one that has it.

    That ends a job which has asked for no other signal.
    """
    with open("/proc/locks") as file:
        rows = [line.split() for line in file]
    places = (row[-3].split(":") for row in rows if "LEASE" in row and "WRITE" in row)
    return {(os.makedev(int(one, 16), int(two, 16)), int(inode)) for one, two, inode in places}


def is_leased(status: os.stat_result, leases: set[tuple[int, int]]) -> bool:
    """Whether it is one of these.

    Of a file system without a device of its own, as btrfs is, stat(2) may tell another than the
    list has: there the inode counts.
    """
    if os.major(status.st_dev) == 0:
        return status.st_ino in {inode for _, inode in leases}
    return (status.st_dev, status.st_ino) in leases


def samples(fd: int, size: int) -> tuple[Block, ...]:
    """Take checksums of a file's first `size` bytes.

    All of a small file, else of parts all over it.
    """
    if size <= _WHOLE:
        spans = [(0, size)] if size else []
    else:
        step = (size - _SAMPLE) // (_SAMPLES - 1)
        spans = [(n * step, _SAMPLE) for n in range(_SAMPLES - 1)] + [(size - _SAMPLE, _SAMPLE)]
    return tuple(Block(at, length, _digest(fd, at, length)) for at, length in spans)


def unchanged(fd: int, blocks: Iterable[Block]) -> bool:
    return all(_digest(fd, each.offset, each.length) == each.xxh3 for each in blocks)


def covers(blocks: Iterable[Block], size: int) -> bool:
    """Whether the samples cover all of the file."""
    return sum(each.length for each in blocks) >= size


def same(
    one: int,
    at: int,
    other: int,
    there: int,
    count: int,
    progress: Callable[[int], None] = no_progress,
) -> bool:
    """Whether `count` bytes of two files are equal; progress gets the length of each piece."""
    while count > 0:
        length = min(count, _CHUNK)
        block = os.pread(one, length, at)
        if len(block) < length or block != os.pread(other, length, there):
            return False
        at, there, count = at + length, there + length, count - length
        progress(length)
    return True


def copy(
    source: int,
    start: int,
    target: int,
    position: int,
    count: int,
    progress: Callable[[int], None] = no_progress,
) -> None:
    """Copy `count` bytes, or as many as there are; progress gets the length of each piece.

    A whole file is shared instead, where the file system can.  Whoever looks at the source
    meanwhile must have stopped its writers.
    """
    if start == position == 0 and count >= os.fstat(source).st_size and _cloned(source, target):
        progress(count)
        return
    while count > 0:
        block = os.pread(source, min(count, _CHUNK), start)
        if not block:
            return
        done = 0
        while done < len(block):
            done += os.pwrite(target, block[done:], position + done)
        start, position, count = start + len(block), position + len(block), count - len(block)
        progress(len(block))


def sync(fd: int) -> None:
    """Fsync a file and close it."""
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _cloned(source: int, target: int) -> bool:
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:  # another file system, or one that cannot
        return False
    return True


def _digest(fd: int, at: int, length: int) -> str:
    return xxhash.xxh3_64_hexdigest(os.pread(fd, length, at))
