# SPDX-License-Identifier: MIT
"""Which names CRIU makes at a restore is read from an image, whatever its owner has put there."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from torqueckpt.checkpointers.criu import made
from torqueckpt.manifest import DIRECTORY, FILE, SOCKET, UNLINKED_SOCKET, Made

_FILES = {1: SimpleNamespace(name=b"/tmp/caf\xe9"), 2: SimpleNamespace(name=b"/tmp/dir")}


def _remap(file: int, ghost: int, kind: int = 1) -> Any:
    return SimpleNamespace(orig_id=file, remap_id=ghost, remap_type=kind)


def _socket(name: bytes, **fields: Any) -> Any:
    usual = {"type": 1, "state": 10, "uflags": 0, "name_dir": b"", "deleted": False}
    return SimpleNamespace(name=name, **{**usual, **fields})


def _ghost(place: Path, number: int, mode: int) -> None:
    entry = made._READER.made("ghost_file_entry")
    entry.mode, entry.mtim.tv_sec, entry.mtim.tv_usec = mode, 1700, 5
    packed = entry.SerializeToString()
    data = b"\x19\x43\x56\x54abcd" + struct.pack("<I", len(packed)) + packed + b"content"
    (place / f"ghost-file-{number:x}.img").write_bytes(data)


def test_deleted_files_and_directories_are_made_again_each_once(tmp_path: Path) -> None:
    _ghost(tmp_path, 0x1A, 0o100644)
    _ghost(tmp_path, 2, 0o40755)
    remaps = [_remap(1, 0x1A), _remap(1, 0x1A), _remap(2, 2), _remap(7, 2), _remap(1, 4711, 2)]
    assert made.find(tmp_path, remaps, _FILES, ()) == (
        Made("/tmp/caf\udce9", FILE, "1a", 0o100644, 1_700_000_005),
        Made("/tmp/dir", DIRECTORY),
    )


def test_sockets_that_are_bound_have_a_path_others_none(tmp_path: Path) -> None:
    sockets = [
        _socket(b"/tmp/ear\0"),
        _socket(b"below/ear\0", name_dir=b"/tmp"),
        _socket(b"/tmp/gone\0", deleted=True),
        _socket(b"/tmp/datagrams\0", type=2, state=1),
        _socket(b"/tmp/accepted\0", state=1),
        _socket(b"/dev/log\0", type=2, uflags=1),
        _socket(b"\0abstract"),
        _socket(b""),
    ]
    assert made.find(tmp_path, (), {}, sockets) == (
        Made("/tmp/below/ear", SOCKET),
        Made("/tmp/datagrams", SOCKET),
        Made("/tmp/ear", SOCKET),
        Made("/tmp/gone", UNLINKED_SOCKET),
    )


def test_a_ghost_that_is_none_is_an_error_and_waits_for_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        made.find(tmp_path, [_remap(1, 1)], _FILES, ())
    os.mkfifo(tmp_path / "ghost-file-1.img")
    with pytest.raises(ValueError):
        made.find(tmp_path, [_remap(1, 1)], _FILES, ())
    (tmp_path / "ghost-file-1.img").unlink()
    (tmp_path / "ghost-file-1.img").write_bytes(b"\x19\x43\x56\x54abcd\xff\xff\xff\xff")
    with pytest.raises(ValueError):
        made.find(tmp_path, [_remap(1, 1)], _FILES, ())
