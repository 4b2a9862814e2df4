# SPDX-License-Identifier: MIT
"""Read protobuf messages of CRIU's as strictly as it writes them, and write them again.

What two readers could take for two things is refused: fields out of their order, one that should be
there once twice, a number in a longer form or larger than its type.  The standard library is
enough, so that root's programs start fast.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_VARINT, _LENGTH = 0, 2
_SIZES = {1: 8, 5: 4}

Field = tuple[int, int, "int | bytes"]  # number, kind, value


class Message:
    """The fields of one message; ValueError where it is not what criu would have written."""

    def __init__(self, message: bytes) -> None:
        self.fields = list(_fields(message))
        numbers = [number for number, _, _ in self.fields]
        if numbers != sorted(numbers):
            raise ValueError("fields out of order")

    def longs(self, wanted: int) -> list[int]:
        """The values of a repeated uint64."""
        found = [(kind, value) for number, kind, value in self.fields if number == wanted]
        numbers = [value for kind, value in found if kind == _VARINT and isinstance(value, int)]
        if len(numbers) != len(found) or any(value >= 1 << 64 for value in numbers):
            raise ValueError(f"field {wanted} is no number")
        return numbers

    def long(self, wanted: int) -> int:
        return _one(wanted, self.longs(wanted), None)

    def numbers(self, wanted: int) -> list[int]:
        """The values of a repeated uint32, bool or enum: readers drop what is above 32 bits."""
        found = self.longs(wanted)
        if any(value >= 1 << 32 for value in found):
            raise ValueError(f"field {wanted} is too large")
        return found

    def number(self, wanted: int, default: int | None = None) -> int:
        return _one(wanted, self.numbers(wanted), default)

    def int32(self, wanted: int, default: int) -> int:
        value = _one(wanted, self.longs(wanted), default)
        value -= 1 << 64 if value >= 1 << 63 else 0
        if not -(1 << 31) <= value < 1 << 31:
            raise ValueError(f"field {wanted} is too large")
        return value

    def sint32(self, wanted: int) -> int:
        value = self.number(wanted)
        return (value >> 1) ^ -(value & 1)

    def messages(self, wanted: int) -> list[Message]:
        found = [(kind, value) for number, kind, value in self.fields if number == wanted]
        if any(kind != _LENGTH for kind, _ in found):
            raise ValueError(f"field {wanted} is no message")
        return [Message(value) for _, value in found if isinstance(value, bytes)]

    def message(self, wanted: int) -> Message | None:
        """The message in a field; None when it is not there."""
        found = self.messages(wanted)
        if len(found) > 1:  # readers would merge them
            raise ValueError(f"field {wanted} is there {len(found)} times")
        return found[0] if found else None

    def with_values(self, changed: int, values: Iterable[int | bytes]) -> bytes:
        """The message, encoded, with other values in its field `changed`, as many as there are."""
        new = iter(values)
        return b"".join(
            encoded((number, kind, next(new) if number == changed else value))
            for number, kind, value in self.fields
        )


def _one(wanted: int, found: list[int], default: int | None) -> int:
    if not found and default is not None:
        return default
    if len(found) != 1:
        raise ValueError(f"field {wanted} is there {len(found)} times")
    return found[0]


def encoded(field: Field) -> bytes:
    number, kind, value = field
    key = _shortest(number << 3 | kind)
    if isinstance(value, int):
        return key + _shortest(value)
    return key + (_shortest(len(value)) if kind == _LENGTH else b"") + value


def _shortest(value: int) -> bytes:
    written = bytearray()
    while value >= 0x80:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*written, value])


def _fields(message: bytes) -> Iterator[Field]:
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
