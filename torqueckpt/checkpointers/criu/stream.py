# SPDX-License-Identifier: MIT
"""The protocol of `criu restore --stream` (source: CRIU's img-streamer.proto and .c).

One connection; each request and each answer is a protobuf message of one field behind its length.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from torqueckpt.checkpointers.base import Stream

_FILENAME = 0x0A  # field 1, bytes
_EXISTS = 0x08  # field 1, a varint
_LONGEST_NAME = 127  # whose length fits one byte; CRIU's own have less than 40


class CriuStream(Stream):
    socket_name = "streamer-serve.sock"

    def asked(self, read: Callable[[int], bytes]) -> str:
        length = read(4)
        if not length:
            return ""
        (size,) = struct.unpack("<I", length) if len(length) == 4 else (0,)
        if not 2 < size <= 2 + _LONGEST_NAME:
            raise ValueError(f"a request of {size} bytes")
        message = read(size)
        if len(message) != size or message[0] != _FILENAME or message[1] != size - 2:
            raise ValueError(f"not a request: {message!r}")
        return message[2:].decode()

    def answer(self, there: bool) -> bytes:
        return struct.pack("<IBB", 2, _EXISTS, there)
