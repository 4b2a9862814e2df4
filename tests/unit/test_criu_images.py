# SPDX-License-Identifier: MIT
"""What is no image of CRIU's is a ValueError; tests/job/test_criu_images.py reads real ones."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from torqueckpt.checkpointers.criu import images


def test_an_empty_directory_is_a_value_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stats-dump"):
        images.read(tmp_path, tmp_path)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.sampled_from([b"", b"\x19\x43\x56\x54" * 2, b"abcd"]))
def test_garbage_in_place_of_image_files_is_a_value_error(
    tmp_path: Path, data: bytes, magic: bytes
) -> None:
    for name in ("files.img", "pstree.img", "remap-fpath.img", "stats-dump"):
        (tmp_path / name).write_bytes(magic + data)
    try:
        images.read(tmp_path, tmp_path)
    except ValueError:
        return


@pytest.mark.parametrize("length", [5, 1 << 20, (1 << 32) - 1])
def test_an_entry_longer_than_its_file_is_a_value_error(tmp_path: Path, length: int) -> None:
    (tmp_path / "pstree.img").write_bytes(
        b"\x19\x43\x56\x54abcd" + struct.pack("<I", length) + b"1234"
    )
    with pytest.raises(ValueError, match="middle of an entry"):
        images.read(tmp_path, tmp_path)


@pytest.mark.parametrize("name", ["files.img", "pstree.img", "stats-dump"])
def test_a_huge_file_or_a_fifo_in_an_images_place_is_a_value_error_at_once(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).touch()
    os.truncate(tmp_path / name, 1 << 40)
    with pytest.raises(ValueError, match="larger than"):
        images.read(tmp_path, tmp_path)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match="no magic number"):
        images.read(tmp_path, tmp_path)


@pytest.mark.parametrize("name", ["files.img", "remap-fpath.img"])
def test_a_sparse_file_in_a_tables_place_has_more_entries_than_any_job(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The largest that is read has sixty million empty ones, and each takes a microsecond."""
    monkeypatch.setattr("torqueckpt.checkpointers.criu.protobuf._MANY", 1000)
    with open(tmp_path / name, "wb") as file:
        file.write(b"\x19\x43\x56\x54abcd")
        file.truncate(1 << 20)
    with pytest.raises(ValueError, match="more than 1000 entries"):
        images.read(tmp_path, tmp_path)


def test_one_table_of_open_files_is_not_read_for_every_process_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "_OPEN", 100)
    reader = images._READER

    def written(name: str, kind: str, entries: list[dict[str, int]]) -> None:
        data = b"\x19\x43\x56\x54abcd"
        for fields in entries:
            made = reader.made(kind)
            for field, value in fields.items():
                setattr(made, field, value)
            packed = made.SerializeToString()
            data += struct.pack("<I", len(packed)) + packed
        (tmp_path / name).write_bytes(data)

    written("pstree.img", "pstree_entry", [{"pid": 7, "ppid": 1}])
    written("fdinfo-3.img", "fdinfo_entry", [{"id": 1, "type": 1, "fd": 0}] * 60)
    written("ids-7.img", "task_kobj_ids_entry", [{"files_id": 3}] * 2)
    with pytest.raises(ValueError, match="more than 100 open files"):
        images.read(tmp_path, tmp_path)
