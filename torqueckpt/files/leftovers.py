# SPDX-License-Identifier: MIT
"""Take away what a restore that failed, or was killed, has left of the names that it makes.

CRIU makes a deleted file anew as PATH.cr.N.ghost, gives that its old PATH (or PATH.cr_link), opens
it, and unlinks both; it binds sockets, and for one that was unlinked puts aside what is there now.
Each of these names that was not there before the restart goes after a failure, and only these.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator

from torqueckpt import log
from torqueckpt.manifest import DIRECTORY, FILE, SOCKET, UNLINKED_SOCKET, Made
from torqueckpt.process import sockets
from torqueckpt.records import Leftover

_Live = set[tuple[object, int]]
_LINK, _GHOST, _PARKED = "link", "ghost", "parked"
_LONGEST = 4096  # PATH_MAX
_ORDER = (_LINK, _GHOST, SOCKET, _PARKED, DIRECTORY)  # links are told by their ghosts


def expected(made: Iterable[Made]) -> tuple[Leftover, ...]:
    """The names that a restore may leave, of those that are not there yet, in order of removal."""
    found: dict[str, Leftover] = {}
    for each in made:
        for path, kind, beside in _names(each):
            if not os.path.lexists(path):
                left = Leftover(path, kind, beside, each.mode, each.mtime_us)
                found.setdefault(path, left)
    return tuple(
        sorted(found.values(), key=lambda each: (_ORDER.index(each.kind), -len(each.path)))
    )


def in_the_way(made: Iterable[Made]) -> Iterator[str]:
    """What is there already, and that a restore would fail by, or take from another program."""
    live: _Live | None = None
    for each in made:
        if each.kind == FILE:
            names = [path for path, kind, _ in _names(each) if kind == _GHOST]
            if all(map(os.path.lexists, _links(each))):
                names.append(f"{each.path}.cr_link")
            yield from (f"{path} is in the way" for path in names if os.path.lexists(path))
        elif each.kind in (SOCKET, UNLINKED_SOCKET):
            live = _live() if live is None else live
            if _is_live(each.path, live):
                yield f"{each.path} is the socket of a program that runs"


def remove(leftovers: Iterable[Leftover]) -> None:
    """Take away those that are there now; called as their owner, once the restore has ended."""
    gone = [each.path for each in leftovers if _remove(each)]
    if gone:
        log.info(f"taken away after a restore that failed: {', '.join(gone)}")


def _names(made: Made) -> Iterator[tuple[str, str, str]]:
    """(name, kind, name that it is told by) of all that is made for one entry of the image."""
    if not made.path.startswith("/") or len(made.path) > _LONGEST:  # nothing of CRIU's
        return
    if made.kind == FILE:
        ghost = f"{made.path}.cr.{made.ghost}.ghost"
        yield from ((path, _LINK, ghost) for path in _links(made))
        yield from ((path, _GHOST, "") for path in {ghost, _where_there_is_a_place(ghost)})
    elif made.kind == DIRECTORY:
        yield made.path, DIRECTORY, ""
    else:
        yield made.path, SOCKET, ""
        if made.kind == UNLINKED_SOCKET:
            yield f"{made.path}.criu-sk-ghost", _PARKED, made.path
    above = os.path.dirname(made.path)
    while not os.path.lexists(above):
        yield above, DIRECTORY, ""
        above = os.path.dirname(above)


def _links(made: Made) -> tuple[str, str]:
    return made.path, f"{made.path}.cr_link"


def _where_there_is_a_place(path: str) -> str:
    """The same name in the nearest directory above that is there: CRIU makes a ghost there."""
    above, name = os.path.split(path)
    while not os.path.lexists(above):
        above = os.path.dirname(above)
    return os.path.join(above, name)


def _remove(left: Leftover) -> bool:
    try:
        found = os.lstat(left.path)
        if left.kind == DIRECTORY:
            os.rmdir(left.path)
        elif left.kind == _PARKED:
            if os.path.lexists(left.beside) and not _is_dead_socket(left.beside):
                return False
            os.rename(left.path, left.beside)
        elif left.kind == _GHOST or _is_ours(left, found):
            os.unlink(left.path)
        else:
            return False
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as problem:  # the record is its owner's
        log.info(f"{left.path!r}: stays: {problem}")
        return False
    return True


def _is_ours(left: Leftover, found: os.stat_result) -> bool:
    if left.kind == SOCKET:
        return _is_dead_socket(left.path)
    try:
        ghost = os.lstat(left.beside)
    except FileNotFoundError:  # it has gone by itself, and had the times of the file that it was
        return (found.st_mode, found.st_mtime_ns // 1000) == (left.mode, left.mtime_us)
    return (found.st_dev, found.st_ino) == (ghost.st_dev, ghost.st_ino)


def _is_dead_socket(path: str) -> bool:
    return stat.S_ISSOCK(os.lstat(path).st_mode) and not _is_live(path, _live())


def _live() -> _Live:
    """What sockets are bound to: inodes, beside their device, and beside the path.

    On btrfs the kernel has another device here than in stat(2).
    """
    places = [(each.name, each.place) for each in sockets.unix().values() if each.place is not None]
    return {place for _, place in places} | {(name, inode) for name, (_, inode) in places}


def _is_live(path: str, live: _Live) -> bool:
    try:
        found = os.lstat(path)
    except (OSError, ValueError):
        return False
    inode = found.st_ino & 0xFFFFFFFF
    return not live.isdisjoint({(found.st_dev, inode), (path, inode)})
