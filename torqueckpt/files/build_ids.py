# SPDX-License-Identifier: MIT
"""Read build ids, by which a linker marks each build of a program or library.

A process that was dumped has addresses in them; another build has other things there.  Files that
have none (not ELF, or linked without) are told apart by their size alone.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator

from torqueckpt.files import content
from torqueckpt.manifest import Build

_NOTE = 4  # PT_NOTE
_GNU_BUILD_ID = 3
_MOST_HEADERS, _LONGEST_NOTES = 256, 1 << 16  # the files are anybody's
# From the ELF header on, by class: where the program headers are, and what stands in one.
_LAYOUT = {1: ("IIIIIIII", 28, 42, 1, 4), 2: ("IIQQQQQQ", 32, 54, 2, 5)}


def of_files(paths: Iterable[str]) -> tuple[Build, ...]:
    """The build ids of these files, each file once.

    One that has none, or is unreadable, is left out.
    """
    found = ((path, build_id(path)) for path in sorted(set(paths)))
    return tuple(Build(path, told) for path, told in found if told)


def build_id(path: str) -> str:
    """The build id of a file, in hex; "" when it has none."""
    try:
        fd = content.open_regular(os.path.realpath(path), os.O_RDONLY)
    except OSError:
        return ""
    try:
        return next(_build_ids(fd), "")
    except (OSError, OverflowError, struct.error):
        return ""
    finally:
        os.close(fd)


def _build_ids(fd: int) -> Iterator[str]:
    head = os.pread(fd, 64, 0)
    if len(head) < 64 or head[:4] != b"\x7fELF" or head[4] not in _LAYOUT:
        return
    order = "<" if head[5] == 1 else ">"
    words, at, sizes, where, length = _LAYOUT[head[4]]
    (table,) = struct.unpack_from(order + ("I" if head[4] == 1 else "Q"), head, at)
    each, count = struct.unpack_from(order + "HH", head, sizes)
    for number in range(min(count, _MOST_HEADERS)):
        entry = os.pread(fd, struct.calcsize(order + words), table + number * each)
        header = struct.unpack(order + words, entry)
        if header[0] == _NOTE:
            notes = os.pread(fd, min(header[length], _LONGEST_NOTES), header[where])
            yield from _in_notes(notes, order)


def _in_notes(notes: bytes, order: str) -> Iterator[str]:
    at = 0
    while at + 12 <= len(notes):
        name, size, kind = struct.unpack_from(order + "III", notes, at)
        start = at + 12 + (name + 3) // 4 * 4
        if kind == _GNU_BUILD_ID and notes[at + 12 : at + 12 + name] == b"GNU\0":
            yield notes[start : start + size].hex()
        at = start + (size + 3) // 4 * 4
