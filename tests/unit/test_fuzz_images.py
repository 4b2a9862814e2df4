# SPDX-License-Identifier: MIT
"""CRIU's images, made up: no core image that is let through asks anybody for more.

tests/job/test_criu_images.py edits real ones."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tests.unit import core_images
from torqueckpt.checkpointers.criu import details, protobuf, rights
from torqueckpt.manifest import Ceiling


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


# Messages as protobuf reads them: merged, unknown fields passed over (core.proto, creds.proto).
_DECLARED: dict[str, dict[str, tuple[int, str]]] = {
    "limit": {"hard": (2, "uint64")},
    "limits": {"all": (1, "limit[]")},
    "task": {"state": (1, "uint32"), "limits": (8, "limits"), "oom_score_adj": (14, "int32")},
    "creds": {
        **{f"capabilities{each}": (each, "uint32[]") for each in (9, 10, 11, 19)},
        "securebits": (13, "uint32"),
        "groups": (14, "uint32[]"),
        "no_new_privs": (18, "uint32"),
    },
    "thread": {
        "nice": (3, "sint32"),
        "policy": (4, "uint32"),
        "priority": (5, "uint32"),
        "creds": (10, "creds"),
    },
    "core": {"task": (3, "task"), "thread": (5, "thread")},
}
_READER = protobuf.Reader(_DECLARED)
_KINDS = [core_images.of_process(), core_images.of_thread(), core_images.of_zombie()]


def grants(message: bytes, most: Ceiling = core_images.CEILING) -> bool:
    """Whether another reader finds more in it than the ceiling; False when it is no message."""
    try:
        core = _READER.message("core", "core", message)
    except ValueError:
        return False
    task, thread, creds = core.task, core.thread, core.thread.creds
    if core.HasField("task") and task.state == 2:
        return False  # a zombie has nothing
    had = zip([each.hard for each in task.limits.all], most.hard_limits)
    return (
        any(any(getattr(creds, f"capabilities{each}")) for each in (9, 10, 11, 19))
        or bool(creds.securebits & 0xFF or set(creds.groups) - set(most.groups))
        or (core.HasField("task") and len(task.limits.all) != 16)
        or (core.HasField("task") and task.oom_score_adj < most.oom_score_adj)
        or any(asked > hard for asked, hard in had)
        or thread.nice < most.nice
        or (most.idle and thread.policy & ~0x40000000 != 5)
        or (most.no_new_privs and creds.no_new_privs == 0)
    )


def let_through(core: bytes, most: Ceiling = core_images.CEILING) -> bool:
    try:
        rights.checked(core, most)
    except ValueError:
        return False
    return True


@given(st.sampled_from(_KINDS).flatmap(broken))
def test_no_broken_core_image_is_let_through_that_asks_another_reader_for_more(
    message: bytes,
) -> None:
    assert not (let_through(core_images.image(message)) and grants(message))


_PLACES: list[Sequence[core_images.Step]] = [
    *((3,), (3, 8), *((3, 8, (1, each)) for each in (0, 7, 15)), (5,), (5, 10)),
]
_NUMBER = st.one_of(st.integers(1, 20), st.sampled_from([9, 10, 11, 13, 14, 18]))
_VALUE = st.sampled_from([0, 1, 256, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 63, (1 << 64) - 1])


@given(
    st.sampled_from(_KINDS), st.sampled_from(_PLACES), st.dictionaries(_NUMBER, _VALUE, max_size=3)
)
def test_no_edited_core_image_is_let_through_that_asks_another_reader_for_more(
    message: bytes, place: Sequence[core_images.Step], fields: dict[int, int]
) -> None:
    message = core_images.edited(message, place, fields)
    assert not (let_through(core_images.image(message)) and grants(message))


def test_the_other_reader_takes_the_honest_ones_and_sees_what_is_more() -> None:
    for message in _KINDS:
        assert let_through(core_images.image(message)) and not grants(message)
    for number in (9, 10, 11, 13, 19):
        assert grants(core_images.edited(_KINDS[0], (5, 10), {number: 8}))


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
