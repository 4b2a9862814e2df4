# SPDX-License-Identifier: MIT
"""Reading CRIU's images: real ones in full, broken ones with nothing but a ValueError."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import PREFIX
from tests.unit import real
from torqueckpt.checkpointers import registry
from torqueckpt.checkpointers.base import Dump
from torqueckpt.checkpointers.criu import images
from torqueckpt.identity import Owner
from torqueckpt.process import privileges, proc
from torqueckpt.run import run
from torqueckpt.settings import Settings

_CRIU = PREFIX / "lib" / "torqueckpt" / "criu" / "criu"
_PROGRAM = """\
import ctypes, os, sys, time
where = sys.argv[1]
out = os.open(where + '/out', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
os.write(out, b'0123456789')
data = os.open(where + '/caf\\udce9', os.O_RDWR | os.O_CREAT)
os.write(data, b'x' * 100); os.lseek(data, 40, 0)
gone = os.open(where + '/gone', os.O_RDWR | os.O_CREAT)
os.write(gone, b'y' * 7); os.unlink(where + '/gone')
if os.fork() == 0:
    ctypes.CDLL(None).prctl(15, b'na\\xefve', 0, 0, 0)
    os.open(where + '/ready', os.O_WRONLY | os.O_CREAT)
time.sleep(60)
"""


@pytest.fixture
def image(user: Owner, place: Path) -> Iterator[tuple[Dump, int]]:
    """A small real image, dumped as the user; and the pid of its root."""
    if not _CRIU.exists():
        pytest.skip(f"no criu at {_CRIU}: no real image can be made")
    for name in ("files", "image", "work"):
        (place / name).mkdir()
        os.chown(place / name, user.uid, user.gid)
    argv = ["/usr/bin/python3", "-I", "-c", _PROGRAM, str(place / "files")]
    process = real.start(
        privileges.as_owner_argv(user, (), argv),
        cwd="/",  # the tests' own may be closed to the user
        **dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL),
    )
    try:
        real.until((place / "files" / "ready").exists, "the program's files")
        backend = registry.load("criu", Settings(criu_path=_CRIU))
        dump = Dump(process.pid, place / "image", place / "work", False, False)
        finished = run(
            privileges.as_owner_argv(user, backend.capabilities(False), backend.dump_argv(dump)),
            timeout_seconds=60,
            environment={"XDG_RUNTIME_DIR": str(dump.work_dir)},
        )
        assert finished.ok, backend.reason(dump.work_dir, "dump")
        assert backend.incomplete(dump) == ""
        assert proc.stat(process.pid) is not None
        yield dump, process.pid
    finally:
        real.end(process)


def test_a_real_image_tells_processes_and_open_files_as_of_the_freeze(
    image: tuple[Dump, int],
) -> None:
    dump, root = image
    where = str(dump.image_dir.parent / "files")
    facts = images.read(dump.image_dir, dump.work_dir)
    names = {(each.pid == root, each.ppid == root, each.name) for each in facts.processes}
    assert len(facts.processes) == 2
    assert {name for top, _, name in names if not top} == {"na\udcefve"}
    assert facts.frozen_us > 0
    mine = {file.path: file for file in facts.files if file.pid == root}
    out, data = mine[f"{where}/out"], mine[f"{where}/caf\udce9"]
    assert (out.size, out.offset, out.deleted) == (10, 10, False)
    assert out.flags & (os.O_APPEND | os.O_WRONLY) == os.O_APPEND | os.O_WRONLY
    assert (data.size, data.offset, data.deleted) == (100, 40, False)
    gone = [file for file in mine.values() if "gone" in file.path]
    assert [file.deleted for file in gone] == [True]
    both = {(file.pid == root, file.fd) for file in facts.files if file.path == f"{where}/out"}
    assert both == {(True, out.fd), (False, out.fd)}


def test_a_real_image_whose_files_are_torn_or_flipped_gives_facts_or_a_value_error(
    image: tuple[Dump, int], tmp_path: Path
) -> None:
    dump, _ = image
    files = ["files.img", "pstree.img", *(p.name for p in dump.image_dir.glob("[cfi]*-*.img"))]
    for name in files:
        whole = (dump.image_dir / name).read_bytes()
        step = max(len(whole) // 40, 1)
        for at in range(0, len(whole), step):
            broken = bytearray(whole)
            broken[at] ^= 0xFF
            for data in (whole[:at], bytes(broken)):
                (dump.image_dir / name).write_bytes(data)
                try:
                    images.read(dump.image_dir, dump.work_dir)
                except ValueError:
                    continue
        (dump.image_dir / name).write_bytes(whole)
    images.read(dump.image_dir, dump.work_dir)


def test_an_image_without_its_statistics_is_a_value_error(image: tuple[Dump, int]) -> None:
    dump, _ = image
    (dump.work_dir / "stats-dump").unlink()
    with pytest.raises(ValueError, match="stats-dump"):
        images.read(dump.image_dir, dump.work_dir)


def test_an_empty_directory_is_a_value_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stats-dump"):
        images.read(tmp_path, tmp_path)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
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
