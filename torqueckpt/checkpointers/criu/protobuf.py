# SPDX-License-Identifier: MIT
"""Read CRIU's image files through cut-down declarations of its protobuf messages.

An image file is one or two 32-bit magic numbers, then messages, each behind its length (source:
https://criu.org/Images).  Only the fields that are wanted are declared; protobuf skips the others.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

# message → field → (number, type); a type that is a message's name nests it, "[]" repeats it.
Declared = Mapping[str, Mapping[str, tuple[int, str]]]

_MAGICS = {0x54564319: 2, 0x55105940: 2}  # "common" and "service" files carry a second magic
_LARGEST = 256 * 1024 * 1024  # of a million open files, files.img has half of that
_MANY = 4_000_000  # messages of a file: a sparse one's are empty, sixty million of them


class Reader:
    """Reads messages of the declared kinds; ValueError where a file has something else."""

    def __init__(self, declared: Declared) -> None:
        self._classes = _classes(declared)

    def messages(self, file: Path, kind: str, most: int = 0) -> Iterator[Any]:
        """All messages of an image file; none when the file is missing.

        ValueError for more than `most`, or than any job has.
        """
        try:
            data = content(file)
        except FileNotFoundError:
            return
        for count, raw in enumerate(raw_messages(file.name, data)):
            if count == (most or _MANY):
                raise ValueError(f"{file.name}: more than {count} entries")
            yield self.message(file.name, kind, raw)

    def message(self, name: str, kind: str, raw: bytes) -> Any:
        try:
            return self._classes[kind].FromString(raw)
        except Exception as broken:  # protobuf's own error class depends on its implementation
            raise ValueError(f"{name} cannot be read: {broken}") from broken

    def made(self, kind: str) -> Any:
        """Make a new, empty message."""
        return self._classes[kind]()


def content(file: Path) -> bytes:
    """Read a whole image file, unless the owner has put a FIFO or a huge file in its place.

    This program is not within the job's limits: a sparse file would fill the node's memory.
    """
    fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(fd, "rb") as opened:
        if os.fstat(fd).st_size > _LARGEST:
            raise ValueError(f"{file.name} is larger than CRIU writes it")
        return opened.read(_LARGEST) or b""


def raw_messages(name: str, data: bytes) -> Iterator[bytes]:
    offset = first(name, data)
    while offset < len(data):
        if offset + 4 > len(data):
            raise ValueError(f"{name} ends in the middle of a length")
        (length,) = struct.unpack_from("<I", data, offset)
        offset += 4
        if offset + length > len(data):
            raise ValueError(f"{name} ends in the middle of an entry")
        yield data[offset : offset + length]
        offset += length


def first(name: str, data: bytes) -> int:
    """The position of the first message's length, after the magic numbers."""
    if len(data) < 4:
        raise ValueError(f"{name} has no magic number")
    return 4 * _MAGICS.get(struct.unpack_from("<I", data)[0], 1)


def _classes(declared: Declared) -> dict[str, Any]:
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="torqueckpt/criu.proto", package="criu")
    for message, members in declared.items():
        made = file.message_type.add(name=message)
        for name, (number, text) in members.items():
            kind = text.removesuffix("[]")
            label = field.LABEL_OPTIONAL if kind == text else field.LABEL_REPEATED
            added = made.field.add(name=name, number=number, label=label)
            if kind in declared:
                added.type, added.type_name = field.TYPE_MESSAGE, f".criu.{kind}"
            else:
                added.type = getattr(field, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"criu.{name}"))
        for name in declared
    }
