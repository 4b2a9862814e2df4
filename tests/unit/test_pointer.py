# SPDX-License-Identifier: MIT
"""A pointer lies where users and batch systems do as they like: it is believed or ignored."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit import samples
from torqueckpt.batch import pointer
from torqueckpt.errors import StoreNotWritable
from torqueckpt.identity import ImageRef, Owner
from torqueckpt.process import privileges

_NAME = "ckpt.12.srv.1700000600"


@pytest.fixture
def where(place: Path) -> Path:
    made = place / "12.srv.CK"
    made.mkdir()
    return made


def test_a_pointer_comes_back_as_it_was_written(where: Path) -> None:
    pointer.write(where, _NAME, samples.LINEAGE, 3)
    assert pointer.read(where, _NAME) == ImageRef(samples.LINEAGE, 3)
    pointer.write(where, _NAME, samples.LINEAGE, 4)
    assert pointer.read(where, _NAME) == ImageRef(samples.LINEAGE, 4)
    assert os.listdir(where) == [_NAME]


def test_a_pointer_is_taken_away_and_nothing_behind_a_link_is(where: Path) -> None:
    pointer.write(where, _NAME, samples.LINEAGE, 3)
    pointer.remove(where, _NAME)
    pointer.remove(where, _NAME)
    pointer.remove(where / "gone", _NAME)
    assert os.listdir(where) == []
    pointer.write(where, _NAME, samples.LINEAGE, 3)
    (where.parent / "link.CK").symlink_to(where)
    pointer.remove(where.parent / "link.CK", _NAME)
    assert os.listdir(where) == [_NAME]


def test_a_pointer_or_directory_that_was_deleted_is_none(where: Path) -> None:
    assert pointer.read(where, _NAME) is None
    assert pointer.read(where / "gone", _NAME) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 100,
        b"an image of old",
        b"[]",
        b"{}",
        b'{"lineage": "12.srv@1"}',
        b'{"lineage": 7, "generation": 1}',
        b'{"lineage": "12.srv@1", "generation": "1"}',
        b'{"lineage": "12.srv@1", "generation": 1',
        b"[" * 4000,
        b"\xff\xfe{",
    ],
)
def test_garbage_in_place_of_a_pointer_is_none(where: Path, data: bytes) -> None:
    (where / _NAME).write_bytes(data)
    assert pointer.read(where, _NAME) is None


def test_a_huge_file_in_place_of_a_pointer_is_not_read(where: Path) -> None:
    pointer.write(where, _NAME, samples.LINEAGE, 3)
    os.truncate(where / _NAME, 1 << 40)
    assert pointer.read(where, _NAME) is None


def test_a_link_in_place_of_a_pointer_is_not_followed(where: Path) -> None:
    pointer.write(where, "elsewhere", samples.LINEAGE, 3)
    (where / _NAME).symlink_to("elsewhere")
    assert pointer.read(where, _NAME) is None


def test_a_link_in_place_of_the_directory_is_not_followed(where: Path) -> None:
    pointer.write(where, _NAME, samples.LINEAGE, 3)
    (where.parent / "link").symlink_to(where)
    assert pointer.read(where.parent / "link", _NAME) is None
    with pytest.raises(StoreNotWritable):
        pointer.write(where.parent / "link", _NAME, samples.LINEAGE, 4)
    assert pointer.read(where, _NAME) == ImageRef(samples.LINEAGE, 3)


def test_a_fifo_or_directory_in_place_of_a_pointer_is_none_at_once(where: Path) -> None:
    os.mkfifo(where / _NAME)
    (where / "directory").mkdir()
    assert pointer.read(where, _NAME) is None
    assert pointer.read(where, "directory") is None


@pytest.mark.parametrize("name", ["..", "", "a/b", "../x"])
def test_a_name_that_is_no_plain_name_is_none(where: Path, name: str) -> None:
    assert pointer.read(where, name) is None


def test_a_directory_that_the_owner_cannot_write_is_told(where: Path, user: Owner) -> None:
    with privileges.acting_as(user), pytest.raises(StoreNotWritable, match="no pointer"):
        pointer.write(where, _NAME, samples.LINEAGE, 3)
    with pytest.raises(StoreNotWritable, match="no pointer"):
        pointer.write(where / "gone", _NAME, samples.LINEAGE, 3)


def test_a_directory_that_is_not_there_is_made_as_the_owner_where_he_may(
    place: Path, user: Owner
) -> None:
    own = place / "own"
    own.mkdir()
    os.chown(own, user.uid, user.gid)
    with privileges.acting_as(user):
        pointer.make_place(own / "images" / "12.srv.CK")
        pointer.write(own / "images" / "12.srv.CK", _NAME, samples.LINEAGE, 3)
        with pytest.raises(StoreNotWritable, match="no pointer: Permission denied"):
            pointer.make_place(place / "images" / "12.srv.CK")
    assert (own / "images").stat().st_uid == user.uid
