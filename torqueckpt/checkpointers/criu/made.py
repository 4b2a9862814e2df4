# SPDX-License-Identifier: MIT
"""Tell from an image which names CRIU makes while it restores; some stay when that ends midway."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from torqueckpt.checkpointers.criu.protobuf import Reader, raw_messages
from torqueckpt.manifest import DIRECTORY, FILE, SOCKET, UNLINKED_SOCKET, Made

_GHOST = 1  # remap_type.GHOST: a deleted file's content, or a deleted directory
_HEAD_BYTES = 64 * 1024  # of a ghost file, whose entry comes before the content
_EXTERN = 1  # uflags of a socket outside of the job
_ACCEPTED = 1  # state of a stream socket that is not bound again: TCP_ESTABLISHED
_DATAGRAM = 2

_READER = Reader(
    {
        "timeval": {"tv_sec": (1, "uint64"), "tv_usec": (2, "uint64")},
        "ghost_file_entry": {"mode": (3, "uint32"), "mtim": (8, "timeval")},
    }
)


def find(
    image_dir: Path, remaps: Iterable[Any], regular: Mapping[int, Any], sockets: Iterable[Any]
) -> tuple[Made, ...]:
    """What a restore makes; given remap_file_path_entry, reg_file_entry by id, unix_sk_entry."""
    found = [*_deleted(image_dir, remaps, regular), *_bound(sockets)]
    return tuple(sorted(set(found)))


def _deleted(image_dir: Path, remaps: Iterable[Any], regular: Mapping[int, Any]) -> Iterator[Made]:
    ghosts: dict[int, Any] = {}
    for remap in remaps:
        number = remap.remap_id
        if remap.remap_type != _GHOST or remap.orig_id not in regular:
            continue
        if number not in ghosts:
            ghosts[number] = _ghost(image_dir / f"ghost-file-{number:x}.img")
        ghost, path = ghosts[number], os.fsdecode(regular[remap.orig_id].name)
        if stat.S_ISDIR(ghost.mode):
            yield Made(path, DIRECTORY)
        else:
            mtime_us = ghost.mtim.tv_sec * 1_000_000 + ghost.mtim.tv_usec
            yield Made(path, FILE, f"{number:x}", ghost.mode, mtime_us)


def _bound(sockets: Iterable[Any]) -> Iterator[Made]:
    for socket in sockets:
        accepted = socket.type != _DATAGRAM and socket.state == _ACCEPTED
        if not socket.name or socket.name.startswith(b"\0") or accepted or socket.uflags & _EXTERN:
            continue
        path = os.path.join(os.fsdecode(socket.name_dir), os.fsdecode(socket.name.rstrip(b"\0")))
        yield Made(path, UNLINKED_SOCKET if socket.deleted else SOCKET)


def _ghost(file: Path) -> Any:
    fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(fd, "rb") as opened:
        head = opened.read(_HEAD_BYTES) or b""
    raw = next(raw_messages(file.name, head), b"")
    return _READER.message(file.name, "ghost_file_entry", raw)
