# SPDX-License-Identifier: MIT
"""CRIU's images, made up: no core image that is let through has a right in it, whoever reads it.

tests/job/test_criu_images.py edits real ones."""

from __future__ import annotations

import struct

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st

from torqueckpt.checkpointers.criu import details, rights

_RIGHTS = (9, 10, 11, 13, 19)  # creds.proto: inheritable, permitted, effective, securebits, ambient
_MAGIC = struct.pack("<II", 0x54564319, 0x55053847)


@st.composite
def broken(draw: st.DrawFn, whole: bytes) -> bytes:
    """The bytes after up to three edits: flipped bits, a part gone or twice, garbage."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        until = at + draw(st.integers(0, 40))
        what = draw(st.sampled_from(["flip", "cut", "end", "twice", "garbage"]))
        if what == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif what == "cut":
            del data[at:until]
        elif what == "end":
            del data[at:]
        elif what == "twice":
            data[at:at] = data[at:until]
        else:
            data[at:until] = draw(st.binary(max_size=12))
    return bytes(data)


def _creds_class() -> type:
    """core_entry.thread_core.creds as protobuf reads it: merged, unknown fields passed over."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="tests/core.proto", package="fuzz")
    creds = file.message_type.add(name="creds")
    for number in _RIGHTS:
        label = field.LABEL_OPTIONAL if number == 13 else field.LABEL_REPEATED
        creds.field.add(name=f"f{number}", number=number, label=label, type=field.TYPE_UINT32)
    thread = file.message_type.add(name="thread")
    core = file.message_type.add(name="core")
    for owner, name, number, kind in (
        (thread, "creds", 10, "creds"),
        (core, "thread", 5, "thread"),
    ):
        owner.field.add(
            name=name,
            number=number,
            label=field.LABEL_OPTIONAL,
            type=field.TYPE_MESSAGE,
            type_name=f".fuzz.{kind}",
        )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    made: type = message_factory.GetMessageClass(pool.FindMessageTypeByName("fuzz.core"))
    return made


_CORE = _creds_class()


def grants(message: bytes) -> bool:
    """Whether another reader finds a right in it; False when it is no message."""
    try:
        creds = _CORE.FromString(message).thread.creds  # type: ignore[attr-defined]
    except DecodeError:
        return False
    return bool(creds.f13) or any(any(getattr(creds, f"f{n}")) for n in _RIGHTS if n != 13)


def let_through(core: bytes) -> bool:
    return rights.excessive(core) == ""


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def _field(number: int, kind: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3 | kind) + _varint(value)
    length = _varint(len(value)) if kind == 2 else b""
    return _varint(number << 3 | kind) + length + value


_NUMBER = st.sampled_from([1, 3, 5, 9, 10, 11, 13, 19, 20])
_VALUE = st.sampled_from([0, 1, 256, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 63])
_PLAIN = st.one_of(
    st.builds(_field, _NUMBER, st.just(0), _VALUE),
    st.builds(_field, _NUMBER, st.just(2), st.binary(max_size=6)),
    st.builds(_field, _NUMBER, st.sampled_from([1, 3, 4, 5]), st.binary(min_size=8, max_size=8)),
    st.builds(_field, st.just(13), st.just(5), st.binary(min_size=4, max_size=4)),
    st.sampled_from([b"\x88\x00\x01", b"\xd0\x80\x00\x01", b"\x50\x80\x00", b""]),
)
_MESSAGE = st.recursive(
    st.lists(_PLAIN, max_size=4).map(b"".join),
    lambda inner: st.lists(
        st.one_of(_PLAIN, st.builds(_field, st.sampled_from([5, 10, 3]), st.just(2), inner)),
        max_size=4,
    ).map(b"".join),
    max_leaves=8,
)


@given(_MESSAGE)
@example(_field(5, 2, _field(10, 2, _field(10, 2, b"\x80\x02"))))  # packed
@example(_field(5, 2, b"") + _field(5, 2, _field(10, 2, _field(11, 0, 1))))  # merged
def test_no_made_up_core_image_is_let_through_that_grants_a_right_to_another_reader(
    message: bytes,
) -> None:
    core = _MAGIC + struct.pack("<I", len(message)) + message
    assert not (let_through(core) and grants(message))


def test_the_other_reader_sees_rights_where_there_are_some() -> None:
    for number in _RIGHTS:
        assert grants(_field(5, 2, _field(10, 2, _field(number, 0, 256))))


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 5)), max_size=8),
    st.integers(0, 60),
    st.integers(0, 60),
)
def test_what_an_image_holds_of_a_stretch_is_what_counting_its_pages_gives(
    gaps: list[tuple[int, int]], start: int, end: int
) -> None:
    areas, at = [], 0
    for gap, size in gaps:
        areas.append((at + gap, size, 0))
        at += gap + size
    pages = {page for first, size, _ in areas for page in range(first, first + size)}
    held = details._Held(areas).between(start, end)
    assert held == len([page for page in pages if start <= page < end])
