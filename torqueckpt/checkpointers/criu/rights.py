# SPDX-License-Identifier: MIT
"""Find rights in a CRIU image that no job has.

criu restores as the job's owner, with a few capabilities of its own, and gives each task what its
core image says: an owner who edits that image would keep them.  So this is looked at in a copy that
he cannot change.  The reader is strict, so that it and criu cannot take one file for two things:
whatever criu itself would not have written is refused.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

_COMMON_MAGIC = 0x54564319
_CORE = re.compile(r"core-[0-9]+\.img")
_OBSOLETE = re.compile(r"creds-.*")  # criu 1.x kept them there: a planted one is not handed over
_VARINT, _LENGTH = 0, 2
_SIZES = {1: 8, 5: 4}
# core_entry.thread_core.creds (criu's core.proto, creds.proto)
_THREAD_CORE, _CREDS = 5, 10
_RIGHTS = {9: "inheritable", 10: "permitted", 11: "effective", 13: "securebits", 19: "ambient"}


def decides(name: str) -> bool:
    """Whether the image file `name` says what rights a process gets."""
    return _CORE.fullmatch(name) is not None


def left_out(name: str) -> bool:
    return _OBSOLETE.fullmatch(name) is not None


def excessive(core: bytes) -> str:
    """The rights in a core image beyond an ordinary user's; "" for none."""
    try:
        asked = {
            _RIGHTS[number]
            for entry in _nested(_message(core), _THREAD_CORE)
            for creds in _nested(entry, _CREDS)
            for number, kind, value in _fields(creds)
            if number in _RIGHTS and (kind != _VARINT or value != 0)
        }
    except (ValueError, IndexError, struct.error) as odd:
        return f"something that criu does not write ({odd})"
    return f"capabilities ({', '.join(sorted(asked))})" if asked else ""


def _message(file: bytes) -> bytes:
    """The one message of a core image, after two magic numbers and its length."""
    common, _, length = struct.unpack_from("<III", file)
    if common != _COMMON_MAGIC or len(file) != 12 + length:
        raise ValueError("not one entry")
    return file[12:]


def _nested(message: bytes, wanted: int) -> Iterator[bytes]:
    """All occurrences of a field that is a message itself: readers merge them."""
    for number, kind, value in _fields(message):
        if number == wanted:
            if not isinstance(value, bytes):
                raise ValueError(f"field {number} of kind {kind}")
            yield value


def _fields(message: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    at = 0
    while at < len(message):
        key, at = _varint(message, at, 5)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(message, at, 10)
            yield number, kind, value
            continue
        if kind == _LENGTH:
            size, at = _varint(message, at, 5)
        elif kind in _SIZES:
            size = _SIZES[kind]
        else:
            raise ValueError(f"kind {kind}")
        if at + size > len(message):
            raise ValueError("cut off")
        yield number, kind, message[at : at + size]
        at += size


def _varint(message: bytes, at: int, longest: int) -> tuple[int, int]:
    """Decode a number in its shortest form; gives it and where it ends."""
    value = 0
    for count in range(longest):
        byte = message[at + count]
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            if (count and not byte) or (longest == 5 and value >= 1 << 32):
                raise ValueError("an odd number")
            return value, at + count + 1
    raise ValueError("an endless number")
