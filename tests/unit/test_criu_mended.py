# SPDX-License-Identifier: MIT
"""What CRIU saves so that it could not be restored is mended in the image, and nothing else."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path
from typing import Any

import pytest

from torqueckpt.checkpointers.criu import mended
from torqueckpt.checkpointers.criu.protobuf import Reader, raw_messages
from torqueckpt.process.other_names import OtherName

_HEAD = b"\x19\x43\x56\x54abcd"
_READER = Reader(  # as CRIU's, with a field that the mender does not know
    {
        "reg": {"id": (1, "uint32"), "name": (6, "bytes"), "ext": (9, "bool")},
        "perms": {"mode": (1, "uint32"), "uid": (2, "uint32"), "gid": (3, "uint32")},
        "usk": {
            "ino": (2, "uint32"),
            "backlog": (7, "uint32"),
            "name": (11, "bytes"),
            "file_perms": (13, "perms"),
            "deleted": (15, "bool"),
        },
        "entry": {"type": (1, "uint32"), "reg": (3, "reg"), "usk": (16, "usk")},
    }
)


def _entry(kind: str, **fields: Any) -> bytes:
    made = _READER.made("entry")
    for name, value in fields.items():
        setattr(getattr(made, kind), name, value)
    packed: bytes = made.SerializeToString()
    return struct.pack("<I", len(packed)) + packed


def _mended(place: Path, data: bytes, names: tuple[OtherName, ...] = ()) -> tuple[list[str], Any]:
    file = place / mended.FILES
    file.write_bytes(_HEAD + data)
    told = mended.mend(place, names)
    written = file.read_bytes()
    assert written[:8] == _HEAD
    (raw,) = raw_messages(file.name, written)
    return told, _READER.message(file.name, "entry", raw)


def _rights(made: Any) -> tuple[int, int, int]:
    found = made.usk.file_perms
    return found.mode, found.uid, found.gid


def test_a_file_that_was_taken_without_its_name_gets_its_other_one(tmp_path: Path) -> None:
    name = OtherName(0x49, 66, 0x532996, "/dev/shm/caf\udce9")
    told, made = _mended(tmp_path, _entry("reg", id=7, name=b"file[49:532996]", ext=True), (name,))
    assert len(told) == 1 and (made.reg.id, made.reg.name) == (7, b"/dev/shm/caf\xe9")
    assert not made.reg.HasField("ext")


@pytest.mark.parametrize("name", [b"file[49:532996]", b"file[49:1]", b"unix[7]", b""])
def test_a_file_of_somebody_elses_choice_is_an_error(tmp_path: Path, name: bytes) -> None:
    with pytest.raises(ValueError):
        _mended(tmp_path, _entry("reg", name=name, ext=True))


def test_nothing_is_written_where_nothing_is_to_be_mended(tmp_path: Path) -> None:
    entries = (
        _entry("reg", id=7, name=b"/file[49:532996]"),
        _entry("usk", ino=7, name=b"/tmp/ear\0"),
        _entry("usk", ino=7, name=b"\0abstract", deleted=True),
        _entry("usk", ino=7, deleted=True),
    )
    for data in entries:
        (tmp_path / mended.FILES).write_bytes(_HEAD + data)
        before = os.stat(tmp_path / mended.FILES)
        assert mended.mend(tmp_path, ()) == []
        after = os.stat(tmp_path / mended.FILES)
        assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_an_unlinked_socket_loses_the_rights_that_are_not_its_own(tmp_path: Path) -> None:
    data = _entry("usk", ino=0, backlog=5, name=f"{tmp_path}/ear\0".encode(), deleted=True)
    told, made = _mended(tmp_path, data)
    assert len(told) == 1 and not made.usk.HasField("file_perms")
    assert made.usk.deleted and made.usk.backlog == 5


@pytest.mark.parametrize("end", [b"", b"\0"])
def test_a_renamed_socket_is_bound_where_it_is_now(tmp_path: Path, end: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as ear:
        ear.bind(str(tmp_path / "ear"))
        (tmp_path / "ear").chmod(0o640)
        (tmp_path / "ear").rename(tmp_path / "listener")
        inode = os.fstat(ear.fileno()).st_ino
        name = f"{tmp_path}/ear".encode() + end
        told, made = _mended(tmp_path, _entry("usk", ino=inode, name=name, deleted=True))
        assert len(told) == 1 and made.usk.name == f"{tmp_path}/listener".encode() + end
        assert not made.usk.HasField("deleted")
        assert _rights(made) == (0o140640, os.getuid(), os.stat(tmp_path / "listener").st_gid)


def test_a_path_that_is_too_long_to_be_bound_to_is_not_taken(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as ear:
        ear.bind(str(tmp_path / "ear"))
        (tmp_path / "ear").rename(tmp_path / ("x" * 108))
        data = _entry(
            "usk",
            ino=os.fstat(ear.fileno()).st_ino,
            name=f"{tmp_path}/ear\0".encode(),
            deleted=True,
        )
        told, made = _mended(tmp_path, data)
        assert len(told) == 1 and made.usk.deleted and not made.usk.HasField("file_perms")
