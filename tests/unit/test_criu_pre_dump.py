# SPDX-License-Identifier: MIT
"""Images of a dump and its pre-dump, made here byte by byte as CRIU writes them, made one."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torqueckpt.checkpointers.criu import pagemap, pre_dump
from torqueckpt.checkpointers.criu.pagemap import IN_PARENT, PAGE, PRESENT, Run

_LAZY = 2
_HEAD = struct.pack("<II", 0x54564319, 0x56084025)  # "common", and a pagemap's own
_BASE = 0x7F0000000000
_FROZEN_US = 4242


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*made, number])


def _field(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _message(*fields: bytes) -> bytes:
    text = b"".join(fields)
    return struct.pack("<I", len(text)) + text


def _entry(run: Run) -> bytes:
    fields = ((1, run.address), (2, 0), (4, run.flags), (5, run.pages))
    return _message(*(_field(number, value) for number, value in fields))


def _write(place: Path, name: str, number: int, runs: list[Run], pages: bytes) -> None:
    place.mkdir(exist_ok=True)
    text = _HEAD + _message(_field(1, number)) + b"".join(map(_entry, runs))
    (place / f"pagemap-{name}.img").write_bytes(text)
    (place / f"pages-{number}.img").write_bytes(pages)


def _stats(place: Path) -> None:
    """As stats-dump: dump_stats_entry is field 1 of stats_entry, frozen_time field 2 of that."""
    inner = _field(1, 7) + _field(2, _FROZEN_US)
    text = _varint(1 << 3 | 2) + _varint(len(inner)) + inner
    magic = struct.pack("<II", 0x55105940, 0x57093306)
    (place / "stats-dump").write_bytes(magic + _message(text))


def _page(letter: str) -> bytes:
    return letter.encode() * PAGE


def _run(first: int, count: int, flags: int) -> Run:
    return Run(_BASE + first * PAGE, count, flags)


def _memory(place: Path, name: str) -> dict[int, bytes]:
    """Address of each page → what an image that stands alone has there."""
    number, runs = pagemap.read(place / f"pagemap-{name}.img")
    pages = (place / f"pages-{number}.img").read_bytes()
    found, offset = {}, 0
    for run in runs:
        assert run.present, run
        for address in range(run.address, run.end, PAGE):
            found[address] = pages[offset : offset + PAGE]
            offset += PAGE
    assert offset == len(pages)
    return found


def _pair(tmp_path: Path) -> tuple[Path, Path]:
    """Pages a to f at the pre-dump; then 1 and 4 were written, 5 is gone, 9 is new."""
    image, before = tmp_path / "image", tmp_path / "before"
    runs = [_run(0, 2, PRESENT), _run(2, 2, PRESENT | _LAZY), _run(4, 2, PRESENT)]
    _write(before, "12", 3, runs, b"".join(map(_page, "abcdef")))
    _stats(before)
    runs = [_run(0, 1, IN_PARENT), _run(1, 1, PRESENT), _run(2, 2, IN_PARENT)]
    runs += [_run(4, 1, PRESENT | _LAZY), _run(9, 1, PRESENT)]
    _write(image, "12", 1, runs, b"".join(map(_page, "BEN")))
    os.symlink("../before", image / "parent")
    return image, before


def test_pages_of_the_pre_dump_come_between_those_that_were_written_since(tmp_path: Path) -> None:
    image, before = _pair(tmp_path)
    assert pre_dump.merge(image, before) == _FROZEN_US
    expected = {0: "a", 1: "B", 2: "c", 3: "d", 4: "E", 9: "N"}
    found = _memory(image, "12")
    assert found == {_BASE + n * PAGE: _page(letter) for n, letter in expected.items()}
    assert sorted(os.listdir(image)) == ["pagemap-12.img", "pages-1.img"]
    flags = [run.flags for run in pagemap.read(image / "pagemap-12.img")[1]]
    assert flags == [PRESENT, PRESENT, PRESENT | _LAZY, PRESENT | _LAZY, PRESENT]


def test_what_is_merged_needs_no_pre_dump_any_more(tmp_path: Path) -> None:
    image, before = _pair(tmp_path)
    pre_dump.merge(image, before)
    first = {each.name: each.read_bytes() for each in image.iterdir()}
    for each in before.glob("pag*"):
        each.unlink()
    pre_dump.merge(image, before)
    assert {each.name: each.read_bytes() for each in image.iterdir()} == first


def test_one_run_that_was_in_several_at_the_pre_dump_is_found_across_them(tmp_path: Path) -> None:
    image, before = tmp_path / "image", tmp_path / "before"
    runs = [_run(0, 3, PRESENT), _run(3, 1, PRESENT), _run(4, 3, PRESENT)]
    _write(before, "12", 1, runs, b"".join(map(_page, "abcdefg")))
    _stats(before)
    _write(image, "12", 1, [_run(1, 5, IN_PARENT)], b"")
    pre_dump.merge(image, before)
    assert b"".join(_memory(image, "12").values()) == b"".join(map(_page, "bcdef"))


def test_shared_memory_is_merged_like_a_process_s_own(tmp_path: Path) -> None:
    image, before = _pair(tmp_path)
    _write(before, "shmem-77", 9, [Run(0, 2, PRESENT)], _page("x") + _page("y"))
    _write(image, "shmem-77", 4, [Run(0, 1, PRESENT), Run(PAGE, 1, IN_PARENT)], _page("X"))
    pre_dump.merge(image, before)
    assert _memory(image, "shmem-77") == {0: _page("X"), PAGE: _page("y")}


def test_an_image_that_refers_to_nothing_is_left_as_it_is(tmp_path: Path) -> None:
    image, before = tmp_path / "image", tmp_path / "before"
    _write(image, "12", 1, [_run(0, 1, PRESENT)], _page("a"))
    before.mkdir()
    _stats(before)
    inode = (image / "pages-1.img").stat().st_ino
    assert pre_dump.merge(image, before) == _FROZEN_US
    assert (image / "pages-1.img").stat().st_ino == inode


_BROKEN = {
    "not in the pre-dump": ([_run(0, 3, PRESENT)], "abc", [_run(2, 2, IN_PARENT)]),
    "not in the pre-dump itself": ([_run(0, 3, IN_PARENT)], "", [_run(0, 1, IN_PARENT)]),
    "too late": ([_run(0, 3, PRESENT)], "abc", [_run(1, 2, IN_PARENT), _run(0, 1, IN_PARENT)]),
    "come too late": ([_run(1, 2, PRESENT), _run(0, 2, PRESENT)], "abcd", [_run(1, 1, IN_PARENT)]),
    "shorter": ([_run(0, 3, PRESENT)], "ab", [_run(0, 3, IN_PARENT)]),
    "nowhere": ([_run(0, 3, PRESENT)], "abc", [_run(0, 1, IN_PARENT), _run(1, 1, _LAZY)]),
    "where pages do": (
        [Run(_BASE + 1, 3, PRESENT)],
        "abc",
        [_run(1, 1, IN_PARENT), _run(2, 2, IN_PARENT)],
    ),
}


@pytest.mark.parametrize("told", _BROKEN)
def test_a_pre_dump_that_lacks_what_the_dump_refers_to_is_an_error(
    tmp_path: Path, told: str
) -> None:
    earlier, letters, runs = _BROKEN[told]
    image, before = tmp_path / "image", tmp_path / "before"
    _write(before, "12", 1, earlier, b"".join(map(_page, letters)))
    _stats(before)
    _write(image, "12", 1, runs, b"")
    with pytest.raises(ValueError, match=told):
        pre_dump.merge(image, before)


def test_a_pipe_or_a_link_in_the_place_of_pages_is_neither_waited_for_nor_followed(
    tmp_path: Path,
) -> None:
    image, before = _pair(tmp_path)
    pages = (before / "pages-3.img").read_bytes()
    (before / "pages-3.img").unlink()
    os.mkfifo(before / "pages-3.img")
    with pytest.raises((OSError, ValueError)):
        pre_dump.merge(image, before)
    (image / "pages-1.img.new").unlink()
    (before / "pages-3.img").unlink()
    (before / "elsewhere").write_bytes(pages)
    (before / "pages-3.img").symlink_to("elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        pre_dump.merge(image, before)


_PAGES = 24


@given(
    at_first=st.sets(st.integers(0, _PAGES - 1)),
    written=st.sets(st.integers(0, _PAGES - 1)),
    gone=st.sets(st.integers(0, _PAGES - 1)),
    cuts=st.sets(st.integers(0, _PAGES - 1)),
)
def test_any_memory_is_as_it_was_at_the_dump(
    tmp_path_factory: pytest.TempPathFactory,
    at_first: set[int],
    written: set[int],
    gone: set[int],
    cuts: set[int],
) -> None:
    place = tmp_path_factory.mktemp("pair")
    image, before = place / "image", place / "before"
    there = (at_first | written) - gone
    _write(
        before, "1", 1, _runs(at_first, set(), cuts), b"".join(_named(n) for n in sorted(at_first))
    )
    _stats(before)
    changed = sorted(written & there)
    _write(image, "1", 1, _runs(there, there - written, set()), b"".join(map(_new, changed)))
    pre_dump.merge(image, before)
    expected = {n: _new(n) if n in written else _named(n) for n in there}
    assert _memory(image, "1") == {_BASE + n * PAGE: text for n, text in expected.items()}


def _named(number: int) -> bytes:
    return struct.pack("<I", number) * (PAGE // 4)


def _new(number: int) -> bytes:
    return struct.pack("<I", number + 1000) * (PAGE // 4)


def _runs(pages: set[int], in_parent: set[int], cuts: set[int]) -> list[Run]:
    """Pages in as few runs as can be, but for cuts."""
    made: list[Run] = []
    for number in sorted(pages):
        flags = IN_PARENT if number in in_parent else PRESENT
        each = _run(number, 1, flags)
        last = made[-1] if made else None
        if last and last.end == each.address and last.flags == flags and number not in cuts:
            made[-1] = Run(last.address, last.pages + 1, flags)
        else:
            made.append(each)
    return made
