# SPDX-License-Identifier: MIT
"""Image files that are compressed on their way to the disk, and what becomes of damaged ones."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit import samples
from torqueckpt import compression
from torqueckpt.errors import ImageDamaged
from torqueckpt.identity import Owner
from torqueckpt.manifest import ImageFile
from torqueckpt.process import privileges
from torqueckpt.safe_files import Directory
from torqueckpt.store import seal
from torqueckpt.store.lineage import Lineage

_MEMORY = bytes(range(256)) * 4096 + bytes(3 << 20) + os.urandom(1 << 16)


def _packed(file: Path, data: bytes) -> bytes:
    file.write_bytes(data)
    pieces: list[bytes] = []
    with file.open("rb", buffering=0) as source:
        compression.pack(source.fileno(), pieces.append)
    return b"".join(pieces)


def _unpacked(file: Path, data: bytes) -> bytes:
    file.write_bytes(data)
    with file.open("rb", buffering=0) as source:
        return b"".join(compression.unpacked(source.fileno()))


@pytest.mark.parametrize("data", [b"", b"x", _MEMORY], ids=["empty", "one byte", "some MiB"])
def test_what_was_compressed_comes_back(tmp_path: Path, data: bytes) -> None:
    packed = _packed(tmp_path / "plain", data)
    assert _unpacked(tmp_path / "packed", packed) == data
    assert len(packed) < len(data) / 10 or len(data) < 2


def test_it_is_a_file_that_zstd_reads(tmp_path: Path) -> None:
    import zstandard

    assert zstandard.decompress(_packed(tmp_path / "plain", _MEMORY), len(_MEMORY)) == _MEMORY


def test_a_flipped_bit_is_an_error_and_a_file_cut_off_ends_early(tmp_path: Path) -> None:
    packed = bytearray(_packed(tmp_path / "plain", _MEMORY))
    half = _unpacked(tmp_path / "half", bytes(packed[: len(packed) // 2]))
    assert len(half) < len(_MEMORY) and _MEMORY.startswith(half)
    packed[len(packed) // 2] ^= 1
    with pytest.raises(ValueError, match="no compressed file that is whole"):
        _unpacked(tmp_path / "flipped", bytes(packed))


@given(st.binary(max_size=300))
def test_what_nobody_compressed_is_an_error_or_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    try:
        _unpacked(tmp_path_factory.getbasetemp() / "made up", data)
    except ValueError as told:
        assert "no compressed file" in str(told)


def test_parts_are_found_without_reading_what_comes_behind(tmp_path: Path) -> None:
    file = tmp_path / "packed"
    file.write_bytes(_packed(tmp_path / "plain", _MEMORY))
    wanted = [(0, 3), (256, 2), (1 << 20, 5), (len(_MEMORY) - 4, 9)]
    with file.open("rb", buffering=0) as source:
        found = list(compression.parts(source.fileno(), wanted))
    assert found == [_MEMORY[at : at + length] for at, length in wanted]


def _pages(name: str) -> bool:
    return name.startswith("pages-")


@pytest.fixture
def image(user: Owner, lineage: Lineage) -> Iterator[Directory]:
    with privileges.acting_as(user), lineage.directory.make("image") as made:
        for name, data in (("core.img", b"core"), ("pages-1.img", _MEMORY), ("pages-2.img", b"")):
            (made.path / name).write_bytes(data)
        yield made


def sealed(image: Directory) -> list[ImageFile]:
    with seal.sealing(image, _pages) as made:
        pass
    return made


def test_only_what_is_named_is_compressed_and_all_of_it_is_recorded(image: Directory) -> None:
    made = sealed(image)
    assert [file.name for file in made] == ["core.img", "pages-1.img.zst", "pages-2.img.zst"]
    assert image.names() == [file.name for file in made]
    for file in made:
        assert file == _recorded(image, file.name)
    assert _unpacked(image.path / "again", image.read("pages-1.img.zst")) == _MEMORY


def _recorded(image: Directory, name: str) -> ImageFile:
    fd = image.open_file(name, os.O_RDONLY)
    try:
        return ImageFile(name, os.fstat(fd).st_size, seal.digest(fd))
    finally:
        os.close(fd)


def test_where_there_is_no_room_for_the_compressed_file_the_other_one_stays(
    user: Owner, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    options = f"size=2M,mode=700,uid={user.uid},gid={user.gid}"
    argv = ["/bin/mount", "-t", "tmpfs", "-o", options, "tmpfs", str(small)]
    mounted = subprocess.run(argv, capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a tmpfs here: {mounted.stderr.strip()}")
    memory = os.urandom(3 << 19)
    try:
        with Directory.open(small) as image:
            (small / "pages-1.img").write_bytes(memory)
            made = sealed(image)
            assert [file.name for file in made] == ["pages-1.img"] == image.names()
            assert image.read("pages-1.img") == memory
    finally:
        subprocess.run(["/bin/umount", "--lazy", str(small)], check=True)


def test_who_fails_meanwhile_is_heard_once_nobody_works_on(image: Directory) -> None:
    with pytest.raises(KeyError), seal.sealing(image, _pages):
        raise KeyError
    before = image.names()
    time.sleep(0.2)
    assert image.names() == before


def test_the_first_failure_of_many_files_is_raised_and_nobody_works_on(image: Directory) -> None:
    (image.path / "odd").symlink_to("core.img")
    with pytest.raises(OSError, match="odd|levels of symbolic links"):
        sealed(image)


def _cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 1)


def _flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("harm", [_cut, _flip, Path.unlink])
def test_a_damaged_compressed_image_is_found_without_unpacking_it(
    user: Owner, lineage: Lineage, harm: Callable[[Path], None]
) -> None:
    with privileges.acting_as(user), lineage.new_generation() as new:
        (new.image_dir / "pages-1.img").write_bytes(_MEMORY)
        with new.sealing(_pages) as image:
            pass
        manifest = samples.a_manifest(image=tuple(image))
        assert manifest.packed
        new.verify(manifest)
        harm(new.image_dir / "pages-1.img.zst")
        with pytest.raises(ImageDamaged, match="pages-1.img.zst"):
            new.verify(manifest)
