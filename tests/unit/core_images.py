# SPDX-License-Identifier: MIT
"""Core images as criu writes them, for tests to edit, and the ceiling that they stay below."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Union

from torqueckpt.checkpointers.criu.wire import Message, encoded
from torqueckpt.manifest import UNLIMITED, Ceiling

TASK, THREAD, CREDS, LIMITS = 3, 5, 10, 8
FILES = 7  # RLIMIT_NOFILE
_HARD = (*(UNLIMITED,) * FILES, 1000, *(UNLIMITED,) * 5, 0, 0, UNLIMITED)
CEILING = Ceiling(
    hard_limits=_HARD,
    nice=6,
    real_time=0,
    idle=True,
    oom_score_adj=300,
    bounding=0x1FF,
    groups=(1000, 1002),
    no_new_privs=True,
    seccomp=0,
    bound=(),
)

Step = Union[int, tuple[int, int]]  # a field, or one of its values by its place
Value = Union[int, bytes]


def message(fields: Mapping[int, Value | Sequence[Value]]) -> bytes:
    """A message of these fields; those that are repeated have their values in a list."""
    return b"".join(
        encoded((number, 2 if isinstance(value, bytes) else 0, value))
        for number, values in sorted(fields.items())
        for value in (values if isinstance(values, list) else [values])
    )


def image(core_entry: bytes) -> bytes:
    return struct.pack("<III", 0x54564319, 0x55053847, len(core_entry)) + core_entry


def _thread() -> bytes:
    ids = dict.fromkeys(range(1, 9), 1000)
    sets: dict[int, list[Value]] = {each: [0, 0] for each in (9, 10, 11, 19)}
    groups: list[Value] = [1000, 1002]
    creds = message({**ids, **sets, 12: [0x1FF, 0], 13: 0, 14: groups, 18: 1})
    return message({1: 4096, 2: 24, 3: 12, 4: 5, CREDS: creds, 13: b"sleep"})


def of_process() -> bytes:
    entries: list[Value] = [message({1: min(each, 500), 2: each}) for each in _HARD]
    task = message({1: 1, 2: 0, 6: b"sleep", LIMITS: message({1: entries}), 14: 300})
    return message({1: 1, 2: b"registers", TASK: task, THREAD: _thread()})


def of_thread() -> bytes:
    return message({1: 1, 2: b"registers", THREAD: _thread()})


def of_zombie() -> bytes:
    return message({1: 1, TASK: message({1: 2, 2: 0, 6: b"sleep"})})


def edited(core_entry: bytes, path: Sequence[Step], fields: Mapping[int, int]) -> bytes:
    """`core_entry` with the first values of `fields` changed, in the message that `path` is to."""
    found, seen = list(Message(core_entry).fields), Counter[int]()
    for at, (number, kind, value) in enumerate(found):
        step = (number, seen[number])
        seen[number] += 1
        if isinstance(value, bytes) and path and path[0] in (number, step):
            found[at] = (number, kind, edited(value, path[1:], fields))
        elif not path and number in fields and step[1] == 0:
            found[at] = (number, 0, fields[number])
    if not path:
        found += [(each, 0, value) for each, value in fields.items() if each not in seen]
    return b"".join(map(encoded, sorted(found, key=lambda field: field[0])))


def edited_file(core: bytes, path: Sequence[Step], fields: Mapping[int, int]) -> bytes:
    """The same of a file."""
    return image(edited(core[12:], path, fields))
