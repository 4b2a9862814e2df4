# SPDX-License-Identifier: MIT
"""Bring the job's files back to what they were at the freeze, and undo that.

What is replaced is safe in tails/, on the disk, before it is touched.  undo() may be called after
any part of apply(), and again after any part of itself: it goes by what it finds.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Sequence

from torqueckpt import layout, log
from torqueckpt.files import content, places
from torqueckpt.manifest import Place
from torqueckpt.records import FileChange
from torqueckpt.safe_files import Directory

_LATER = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


def apply(
    lineage: Directory,
    directories: Iterable[str],
    changes: Iterable[FileChange],
    progress: Callable[[int], None] = content.no_progress,
    made_again: Sequence[Place] = (),
) -> None:
    """Bring the files back; progress gets each number of bytes copied, of copied_by()'s."""
    places.make(directories, made_again)
    with lineage.make(layout.COPIES) as copies, lineage.make(layout.TAILS) as tails:
        for change in changes:
            try:
                _apply(change, copies, tails, progress)
            except OSError as problem:
                raise OSError(problem.errno, problem.strerror, change.path) from problem
    places.finish(made_again)


def copied_by(lineage: Directory, changes: Iterable[FileChange]) -> int:
    """How many bytes apply() has to copy: what it replaces into tails/, and the copies back."""
    total = 0
    with lineage.make(layout.COPIES) as copies:
        for change in changes:
            total += change.size - change.keep if change.present else 0
            total += _size(copies, change.copy) if change.copy and copies.has(change.copy) else 0
    return total


def undo(
    lineage: Directory,
    directories: Iterable[str],
    changes: Iterable[FileChange],
    made_again: Sequence[Place] = (),
) -> None:
    """Give each file back what it held; one that was replaced meanwhile is left alone, and logged.

    OSError when there is no room for it now: then it is to be called again.
    """
    places.reopen(made_again)
    with lineage.make(layout.COPIES) as copies, lineage.make(layout.TAILS) as tails:
        for change in changes:
            try:
                _undo(change, copies, tails)
            except OSError as problem:
                if problem.errno in _LATER:
                    raise
                log.warning(f"{change.path}: not put back: {problem.strerror}")
            except (OverflowError, ValueError) as forged:  # the record is its owner's
                log.warning(f"{change.path!r}: not put back: {forged}")
    places.undo(directories, made_again)


def _apply(
    change: FileChange, copies: Directory, tails: Directory, progress: Callable[[int], None]
) -> None:
    if change.present:
        fd = _open(change, os.O_RDWR if change.wanted else os.O_RDONLY)
    else:
        fd = _create(change)
    try:
        if change.present:
            _save(change, fd, tails, progress)
        if not change.wanted:
            os.unlink(change.path)
            return
        os.ftruncate(fd, change.keep)
        if change.copy:
            _put(copies, change.copy, fd, change.keep, progress)
        os.utime(fd, ns=(change.wanted_mtime_ns, change.wanted_mtime_ns))
        os.fsync(fd)
    finally:
        os.close(fd)


def _undo(change: FileChange, copies: Directory, tails: Directory) -> None:
    if not change.present:
        _take_away(change, copies)
        return
    if not tails.has(change.tail) or _size(tails, change.tail) != change.size - change.keep:
        return  # it was not touched yet
    gone = not change.wanted and not os.path.lexists(change.path)
    fd = _create(change) if gone else _open(change, os.O_RDWR)
    try:
        if gone or _as_left(change, fd, copies, tails):
            os.ftruncate(fd, change.keep)
            _put(tails, change.tail, fd, change.keep)
            os.utime(fd, ns=(change.mtime_ns, change.mtime_ns))
            os.fsync(fd)
    finally:
        os.close(fd)
    tails.remove(change.tail)


def _as_left(change: FileChange, fd: int, copies: Directory, tails: Directory) -> bool:
    """Whether the file is as apply() or undo() can have left it, and nobody wrote to it since.

    What follows the part that stays is then the beginning of the copy, or of the tail.
    """
    behind = os.fstat(fd).st_size - change.keep
    if behind < 0:
        return False

    def begins(name: str, directory: Directory) -> bool:
        return _with(
            directory,
            name,
            lambda other: (
                behind <= os.fstat(other).st_size
                and content.same(fd, change.keep, other, 0, behind)
            ),
        )

    return (
        behind == 0
        or begins(change.tail, tails)
        or (change.copy != "" and begins(change.copy, copies))
    )


def _take_away(change: FileChange, copies: Directory) -> None:
    """Remove a file that was missing: what apply() has put back of it so far."""
    try:
        fd = content.open_regular(change.path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        size = os.fstat(fd).st_size
        if _with(copies, change.copy, lambda copy: content.same(fd, 0, copy, 0, size)):
            os.unlink(change.path)
    finally:
        os.close(fd)


def _open(change: FileChange, flags: int) -> int:
    """Open the file, checked to be the one that was looked at.

    One that was to be removed is a new one once undo() has begun to put it back.
    """
    fd = content.open_regular(change.path, flags)
    status = os.fstat(fd)
    same = (status.st_dev, status.st_ino) == (change.device, change.inode)
    if not same and (change.wanted or flags == os.O_RDONLY):
        os.close(fd)
        raise OSError(errno.ESTALE, "replaced by another file meanwhile", change.path)
    return fd


def _create(change: FileChange) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(change.path, flags, 0o600)
    os.fchmod(fd, change.mode)
    return fd


def _save(change: FileChange, fd: int, tails: Directory, progress: Callable[[int], None]) -> None:
    count = os.fstat(fd).st_size - change.keep
    if count != change.size - change.keep:
        raise OSError(errno.ESTALE, "written to meanwhile", change.path)
    tail = tails.open_file(change.tail, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        content.copy(fd, change.keep, tail, 0, count, progress)
        os.fsync(tail)
    finally:
        os.close(tail)
    tails.sync()


def _put(
    directory: Directory,
    name: str,
    target: int,
    position: int,
    progress: Callable[[int], None] = content.no_progress,
) -> None:
    """Copy a kept file into the target, from `position` on."""
    _with(
        directory,
        name,
        lambda kept: content.copy(kept, 0, target, position, os.fstat(kept).st_size, progress),
    )


def _with(directory: Directory, name: str, work: Callable[[int], bool | None]) -> bool:
    fd = directory.open_file(name, os.O_RDONLY)
    try:
        return bool(work(fd))
    finally:
        os.close(fd)


def _size(directory: Directory, name: str) -> int:
    return os.stat(name, dir_fd=directory.fd, follow_symlinks=False).st_size
