# SPDX-License-Identifier: MIT
"""A core image that asks for more than its job had, or that criu would not have written so."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest

from tests.unit import core_images
from tests.unit.core_images import CEILING, CREDS, FILES, LIMITS, TASK, THREAD, Step
from torqueckpt.checkpointers.criu import rights
from torqueckpt.checkpointers.criu.wire import Message, encoded
from torqueckpt.manifest import UNLIMITED

_PROCESS, _OF_CREDS = core_images.of_process(), (THREAD, CREDS)
_BELOW_ZERO = (1 << 64) - 1000
_NONE = CEILING._replace(no_new_privs=False, idle=False, nice=0)


def _values(core: bytes, *path: int) -> list[object]:
    message = Message(core[12:])
    for step in path[:-1]:
        below = message.message(step)
        assert below is not None
        message = below
    return [value for number, _, value in message.fields if number == path[-1]]


@pytest.mark.parametrize("core", [_PROCESS, core_images.of_thread()], ids=["process", "thread"])
def test_an_honest_one_is_copied_with_a_full_bounding_set_and_nothing_else_changed(
    core: bytes,
) -> None:
    file = core_images.image(core)
    copy = rights.checked(file, CEILING)
    assert _values(copy, THREAD, CREDS, 12) == [0xFFFFFFFF, 0xFFFFFFFF]
    assert rights.checked(copy, CEILING) == copy
    thread = Message(copy[12:]).message(THREAD)
    creds = thread and thread.message(CREDS)
    assert thread and creds
    as_it_was = thread.with_values(CREDS, [creds.with_values(12, [0x1FF, 0])])
    assert Message(copy[12:]).with_values(THREAD, [as_it_was]) == core


def test_limits_that_cannot_be_given_become_those_that_can() -> None:
    most = [UNLIMITED] * 16
    odd = core_images.message({TASK: core_images.message({1: 2, LIMITS: b"odd"})})  # a zombie's
    for name in (_PROCESS, core_images.of_thread(), core_images.of_zombie(), odd):
        file = core_images.image(name)
        assert rights.limited(file, most) == file
    file = core_images.image(_PROCESS)
    assert _limits(file)[FILES] == (500, 1000)
    for hard, now in ((700, (500, 700)), (300, (300, 300)), (1000, (500, 1000))):
        most[FILES] = hard
        lowered = rights.limited(file, most)
        assert _limits(lowered) == [*_limits(file)[:FILES], now, *_limits(file)[FILES + 1 :]]
        rights.checked(lowered, CEILING)


def _limits(core: bytes) -> list[tuple[int, int]]:
    task = Message(core[12:]).message(TASK)
    limits = task and task.message(LIMITS)
    assert limits
    return [(each.long(1), each.long(2)) for each in limits.messages(1)]


def test_a_zombies_is_as_it_was() -> None:
    file = core_images.image(core_images.of_zombie())
    assert rights.checked(file, CEILING) == file


@pytest.mark.parametrize(
    ("path", "fields", "told"),
    [
        ((TASK, LIMITS, (1, FILES)), {2: 1001}, "a hard limit NOFILE of 1001, its job had 1000"),
        (
            (TASK, LIMITS, (1, FILES)),
            {2: UNLIMITED},
            "a hard limit NOFILE of unlimited, its job had 1000",
        ),
        ((TASK, LIMITS, (1, 13)), {2: 21}, "a hard limit NICE of 21, its job had 0"),
        ((TASK,), {14: 299}, "oom_score_adj 299, its job had 300"),
        ((TASK,), {14: _BELOW_ZERO}, "oom_score_adj -1000, its job had 300"),
        ((THREAD,), {3: 10}, "nice 5, its job had 6"),
        ((THREAD,), {3: 39}, "nice -20, its job had 6"),
        ((THREAD,), {4: 0}, "scheduling policy 0, its job had 5"),
        ((THREAD,), {4: 2, 5: 1}, "real-time priority 1, its job had 0"),
        (_OF_CREDS, {14: 999}, "groups 999, its job had 1000 1002"),
        (_OF_CREDS, {18: 0}, "no_new_privs 0, its job had 1"),
        (_OF_CREDS, {10: 1 << 8}, r"capabilities \(permitted\)"),
        (_OF_CREDS, {9: 1, 11: 1, 19: 1}, r"capabilities \(ambient, effective, inheritable\)"),
        (_OF_CREDS, {13: 0x4}, "securebits 0x4"),
        (_OF_CREDS, {13: 0x504}, "securebits 0x504"),
    ],
)
def test_what_the_job_had_not_is_refused(
    path: Sequence[Step], fields: dict[int, int], told: str
) -> None:
    core = core_images.edited_file(core_images.image(_PROCESS), path, fields)
    with pytest.raises(ValueError, match=f"^asks for {told}"):
        rights.checked(core, CEILING)


def test_a_filter_that_the_job_had_is_not_left_out() -> None:
    core = core_images.image(_PROCESS)
    with pytest.raises(ValueError, match="^asks for seccomp mode 0, its job had 2"):
        rights.checked(core, CEILING._replace(seccomp=2))


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ((TASK, LIMITS, (1, FILES)), {2: 999}),
        ((TASK,), {14: 1000}),
        ((THREAD,), {3: 38}),
        ((THREAD,), {4: 0x40000000 | 5}),  # reset on fork
        (_OF_CREDS, {13: 0x500}),  # those of exec, which anybody may set
        (_OF_CREDS, {12: 0}),
    ],
)
def test_less_than_the_job_had_is_let_through(path: Sequence[Step], fields: dict[int, int]) -> None:
    rights.checked(core_images.edited_file(core_images.image(_PROCESS), path, fields), CEILING)


def test_where_no_ceiling_was_recorded_only_what_no_job_has_is_refused() -> None:
    file = core_images.image(_PROCESS)
    rights.checked(core_images.edited_file(file, (THREAD,), {3: 39}), None)
    with pytest.raises(ValueError, match="securebits"):
        rights.checked(core_images.edited_file(file, _OF_CREDS, {13: 1}), None)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        # Readers take the lowest 32 bits of these.
        (_OF_CREDS, {18: 1 << 32}),
        (_OF_CREDS, {13: 1 << 32}),
        ((TASK,), {14: (1 << 32) - 1000}),
        ((THREAD,), {3: 1 << 32 | 12}),
        ((THREAD,), {4: 6}),  # SCHED_DEADLINE
        ((TASK,), {1: 2}),  # a zombie with a thread
        ((TASK,), {1: 4}),
        ((TASK,), {11: 2}),  # where criu 3 kept the seccomp mode
    ],
)
def test_numbers_that_criu_does_not_write_are_refused(
    path: Sequence[Step], fields: dict[int, int]
) -> None:
    core = core_images.edited_file(core_images.image(_PROCESS), path, fields)
    with pytest.raises(ValueError, match="criu does not write"):
        rights.checked(core, _NONE)


def _without(message: bytes, *path: int) -> bytes:
    fields = [
        (number, kind, _without(value, *path[1:]) if isinstance(value, bytes) else value)
        if path[1:] and number == path[0]
        else (number, kind, value)
        for number, kind, value in Message(message).fields
        if path[1:] or number != path[0]
    ]
    return b"".join(map(encoded, fields))


@pytest.mark.parametrize(
    "path",
    [
        (TASK, LIMITS),  # criu's own limits would stay
        (TASK, LIMITS, 1),
        (THREAD,),  # and here its capabilities
        (THREAD, 3),
        (THREAD, 4),
        (THREAD, CREDS),
        *((THREAD, CREDS, each) for each in (1, 8, 9, 10, 11, 12, 13, 19)),
    ],
)
def test_what_criu_always_writes_is_missed(path: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="criu does not write"):
        rights.checked(core_images.image(_without(_PROCESS, *path)), _NONE)


def _twice(message: bytes, *path: int) -> bytes:
    fields = [
        (number, kind, _twice(value, *path[1:]) if isinstance(value, bytes) else value)
        if path[1:] and number == path[0]
        else (number, kind, value)
        for number, kind, value in Message(message).fields
        for _ in range(1 if path[1:] or number != path[0] else 2)
    ]
    return b"".join(map(encoded, fields))


@pytest.mark.parametrize(
    "path",
    [(TASK,), (THREAD,), (TASK, 14), (TASK, LIMITS), (TASK, LIMITS, 1), (THREAD, 3), (THREAD, 11)]
    + [(THREAD, CREDS), (THREAD, CREDS, 13), (THREAD, CREDS, 18), (THREAD, CREDS, 9)],
)
def test_what_is_there_once_is_not_taken_twice(path: tuple[int, ...]) -> None:
    with_seccomp = core_images.edited(_PROCESS, (THREAD,), {11: 0})
    with pytest.raises(ValueError, match="criu does not write"):
        rights.checked(core_images.image(_twice(with_seccomp, *path)), _NONE)


@pytest.mark.parametrize(
    "core",
    [
        b"",
        bytes(12),
        struct.pack("<III", 0x54564319, 1, 5) + b"\x08\x01",
        struct.pack("<III", 0x54564319, 1, 3) + b"\x88\x00\x01",  # a number in a longer form
        core_images.image(_PROCESS) + b"\0",
        core_images.image(_PROCESS + b"\x2a\x00"),  # a second, empty thread_core
        core_images.image(b"\x2a\x04\x52\x02\x52\x00"),  # packed
        core_images.image(b"\x28\x01"),  # thread_core as a number
        core_images.image(b"\x40\x01" + _PROCESS),  # out of order
    ],
)
def test_a_file_that_criu_would_not_have_written_is_refused(core: bytes) -> None:
    with pytest.raises(ValueError, match="criu does not write"):
        rights.checked(core, None)
