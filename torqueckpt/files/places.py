# SPDX-License-Identifier: MIT
"""Make the job's directories, FIFOs and links again that a boot has removed, and undo that.

They lie where anybody may plant names, so no link is followed, and what is there is left alone.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterable
from typing import Any

from torqueckpt import log
from torqueckpt.manifest import Place


def missing(place: Place) -> bool:
    return not os.path.lexists(place.path)


def problem(place: Place) -> str:
    """Why what is there now will not do; "" when it will, as what the job itself has changed."""
    uid = os.lstat(place.path).st_uid
    return f"{place.path} belongs to another user now (uid {uid})" if uid != os.geteuid() else ""


def with_other_mode(place: Place) -> list[Place]:
    """The place, with the mode that it has now, when it is a directory that had another."""
    now = os.lstat(place.path).st_mode
    same = stat.S_IMODE(now) == stat.S_IMODE(place.mode)
    if same or not stat.S_ISDIR(now) or not stat.S_ISDIR(place.mode):
        return []
    return [place._replace(present=stat.S_IMODE(now))]


def make(directories: Iterable[str], places: Iterable[Place]) -> None:
    """Make directories, which only their owner may enter until finish(), then the other places."""
    own = {each.path for each in places if stat.S_ISDIR(each.mode)}
    for path in directories:
        os.mkdir(path, 0o700 if path in own else 0o777)
    reopen(each for each in places if each.present >= 0)
    before = os.umask(0)
    try:
        for each in places:
            if each.target:
                os.symlink(each.target, each.path)
            elif stat.S_ISFIFO(each.mode):
                os.mkfifo(each.path, stat.S_IMODE(each.mode))
    finally:
        os.umask(before)


def finish(places: Iterable[Place]) -> None:
    """Give directories the modes and times that they had, now that all files are in them."""
    for each in sorted(places, reverse=True):  # the inner ones first
        if stat.S_ISDIR(each.mode):
            _change_mode(each.path, stat.S_IMODE(each.mode), each.mtime_ns)


def reopen(places: Iterable[Place]) -> None:
    """Let undo() into directories again that their mode keeps the job's owner from changing."""
    for each in places:
        if stat.S_ISDIR(each.mode):
            _try_mode(each.path, 0o700)


def undo(directories: Iterable[str], places: Iterable[Place]) -> None:
    """Remove what make() has made; directories, which reopen() has opened, when they are empty."""
    own = {each.path: each for each in places if stat.S_ISDIR(each.mode)}
    for each in places:
        try:
            if not stat.S_ISDIR(each.mode) and _as_made(each):
                os.unlink(each.path)
        except (OSError, ValueError) as kept:
            log.info(f"{each.path!r}: stays: {kept}")
    for path in reversed(list(directories)):
        try:
            os.rmdir(path)
        except (OSError, ValueError) as kept:
            log.info(f"{path!r}: stays: {kept}")
            if path in own and isinstance(kept, OSError) and kept.errno == errno.ENOTEMPTY:
                finish([own[path]])
    for each in own.values():
        if each.present >= 0:
            _try_mode(each.path, each.present)


def remove(made: Iterable[str]) -> None:
    """Remove directories of a job that has ended, as the batch system would that had made them."""

    def kept(_: object, path: str, why: Any) -> None:
        log.info(f"{path!r}: stays: {why[1]}")

    for path in made:
        shutil.rmtree(path, onerror=kept)  # which follows no links


def _as_made(place: Place) -> bool:
    if missing(place) or problem(place):
        return False
    if stat.S_IFMT(os.lstat(place.path).st_mode) != stat.S_IFMT(place.mode):
        return False
    return not place.target or os.readlink(place.path) == place.target


def _try_mode(directory: str, mode: int) -> None:
    try:
        if os.lstat(directory).st_uid == os.geteuid():
            _change_mode(directory, mode)
    except (OSError, ValueError) as kept:
        log.info(f"{directory!r}: its mode stays: {kept}")


def _change_mode(directory: str, mode: int, mtime_ns: int = 0) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchmod(fd, mode)
        if mtime_ns:
            os.utime(fd, ns=(mtime_ns, mtime_ns))
    finally:
        os.close(fd)
