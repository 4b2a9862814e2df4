# SPDX-License-Identifier: MIT
"""What CRIU says at the socket where it asks for image files, and what nobody may say there."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torqueckpt.checkpointers.criu.stream import CriuStream

# As CRIU 4.2.1 sent it, and what it took for an answer.
_INVENTORY = bytes.fromhex("0f0000000a0d696e76656e746f72792e696d67")
_THERE, _NOT_THERE = bytes.fromhex("020000000801"), bytes.fromhex("020000000800")


def test_requests_are_read_one_by_one_until_the_end() -> None:
    said = io.BytesIO(_INVENTORY + _INVENTORY)
    stream = CriuStream()
    assert [stream.asked(said.read) for _ in range(3)] == ["inventory.img", "inventory.img", ""]


def test_the_answer_is_whether_the_file_is_there() -> None:
    assert (CriuStream().answer(True), CriuStream().answer(False)) == (_THERE, _NOT_THERE)


@pytest.mark.parametrize(
    "said",
    [
        b"\0\0",
        _INVENTORY[:-1],
        struct.pack("<I", 0),
        struct.pack("<I", 1 << 31) + b"x",
        struct.pack("<I", 5) + b"\x0a\x09abc",
        struct.pack("<I", 5) + b"\x12\x03abc",
        struct.pack("<I", 5) + b"\x0a\x03\xff\xfe\xfd",
    ],
)
def test_what_is_no_request_is_an_error(said: bytes) -> None:
    with pytest.raises(ValueError):
        CriuStream().asked(io.BytesIO(said).read)


@given(st.binary(max_size=200))
def test_whatever_is_said_is_a_name_the_end_or_an_error(said: bytes) -> None:
    try:
        name = CriuStream().asked(io.BytesIO(said).read)
    except ValueError:
        return
    assert said == b"" or name.encode() == said[6 : 6 + said[5]]
