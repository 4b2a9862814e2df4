# SPDX-License-Identifier: MIT
"""Convert records, as NamedTuples, from and to JSON.

What is read somebody else may have written: its numbers and the room that it takes in memory are
bounded, and each field's type is checked.  A field with a default may be missing; a field that the
class has not is left alone.
"""

from __future__ import annotations

import errno
import json
import math
import re
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
MOST = 4_000_000  # values in one text: more are gigabytes of memory, of a few MiB of empty lists
BITS = 128  # more is nobody's size or time, and the sums of such numbers are within a float's
_DIGITS = 100  # of one number, before it is computed with: Python's conversion is quadratic
_LONG = re.compile(rb"[0-9]{%d}" % _DIGITS)
_BYTES_EACH = 12  # of text for each list or object, at least: an empty one takes 60 in memory
_SOME = 1000  # of those, whatever the text's length


class Malformed(ValueError):
    """JSON that does not have the fields or types of the class asked for."""


def from_json(cls: type[T], value: object) -> T:
    """Build a record from what json.loads gave, each field's type checked; else Malformed."""
    kind: Any = cls
    try:
        built: T = _reader(kind)(value)
        return built
    except _Unlike as unlike:
        raise Malformed(f"{cls.__name__}{unlike.where}: {unlike.problem}") from unlike


def plain(value: Any) -> Any:
    """Convert a record for json.dumps: it is an object there, not a list of its values."""
    if _is_record(type(value)):
        return {name: plain(part) for name, part in zip(value._fields, value)}
    if isinstance(value, (tuple, list)):
        return [plain(part) for part in value]
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return value


def dump(record: Any) -> bytes:
    """Write a record as what load() reads; OSError(EFBIG) where it would refuse that."""
    return readable(json.dumps(plain(record)).encode())


def readable(data: bytes) -> bytes:
    """Give back what load() will take; OSError(EFBIG) where it has too many values for that."""
    if _too_many(data):
        raise OSError(errno.EFBIG, _too_many(data))
    return data


def load(data: bytes) -> object:
    """Parse anybody's JSON; Malformed, also for what is nested too deeply or no number of ours."""
    if _too_many(data):
        raise Malformed(_too_many(data))
    try:
        text = data.decode()  # bytes would let the writer choose the encoding
        whole = _int if _LONG.search(data) else None  # most have none, and are read twice as fast
        return json.loads(text, parse_int=whole, parse_float=_float, parse_constant=_float)
    except (ValueError, RecursionError) as broken:
        raise Malformed(f"not JSON: {broken}") from broken


def _too_many(data: bytes) -> str:
    """Why it would take too much memory, "" when it would not; text may have commas too.

    `[[],[],…` takes twenty times its length.
    """
    nests = sum(map(data.count, (b"[", b"{")))
    values = nests + data.count(b",")
    if values > MOST:
        return f"about {values} values, and more than {MOST} are not read"
    if nests > len(data) // _BYTES_EACH + _SOME:
        return f"{nests} lists and objects in {len(data)} bytes"
    return ""


def _int(text: str) -> int:
    if len(text) >= _DIGITS:
        raise ValueError("too large a number")
    return int(text)


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("no finite number")
    return number


class _Unlike(Exception):
    """A value that is not what was expected; `where` grows on its way out."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.where = ""


@cache
def _reader(kind: Any) -> Callable[[object], Any]:
    """Make what checks and builds a value of this type, once: a listing reads thousands."""
    if _is_record(kind):
        return _object_reader(kind)
    if get_origin(kind) is tuple:
        return _list_reader(_reader(get_args(kind)[0]))
    if get_origin(kind) is Union:
        present = _reader(get_args(kind)[0])
        return lambda value: None if value is None else present(value)
    return _whole_number if kind is int else _plain_reader(kind)


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")


def _object_reader(kind: Any) -> Callable[[object], Any]:
    hints = get_type_hints(kind)
    readers = [(name, _reader(hints[name])) for name in hints]
    needed = kind._fields[: len(kind._fields) - len(kind._field_defaults)]

    def read(value: object) -> Any:
        if not isinstance(value, dict):
            raise _Unlike("an object was expected")
        for name in needed:
            if name not in value:
                raise _Unlike(f"{name} is missing")
        made = {}
        for name, reader in readers:
            if name in value:
                try:
                    made[name] = reader(value[name])
                except _Unlike as unlike:
                    unlike.where = f".{name}{unlike.where}"
                    raise
        return kind(**made)

    return read


def _list_reader(reader: Callable[[object], Any]) -> Callable[[object], Any]:
    def read(value: object) -> Any:
        if not isinstance(value, list):
            raise _Unlike("a list was expected")
        made: list[Any] = []
        try:
            for item in value:
                made.append(reader(item))
        except _Unlike as unlike:
            unlike.where = f"[{len(made)}]{unlike.where}"
            raise
        return tuple(made)

    return read


def _plain_reader(kind: Any) -> Callable[[object], Any]:
    def read(value: object) -> Any:
        if type(value) is not kind:
            raise _Unlike(f"{kind.__name__} was expected")
        return value

    return read


def _whole_number(value: object) -> int:
    if type(value) is not int:  # bool is none here
        raise _Unlike("int was expected")
    if value.bit_length() > BITS:
        raise _Unlike("too large a number")
    return value
