# SPDX-License-Identifier: MIT
"""A generation is whole or not there; what is damaged in it is found before CRIU meets it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit import samples
from torqueckpt.errors import (
    ImageDamaged,
    ManifestMissing,
    ManifestTorn,
    NoImage,
    SignatureWrong,
)
from torqueckpt.identity import Owner
from torqueckpt.manifest import Manifest
from torqueckpt.process import privileges, proc
from torqueckpt.store.generation import Generation
from torqueckpt.store.lineage import Lineage, lives_here, tree_here

_FILES = {"inventory.img": b"inventory", "pages-1.img": b"\0" * 5_000_000, "empty.img": b""}


@pytest.fixture(autouse=True)
def _as_the_owner(user: Owner) -> Iterator[None]:
    with privileges.acting_as(user):
        yield


@pytest.fixture
def manifest(lineage: Lineage) -> Manifest:
    return samples.generation(lineage, _FILES)


def _names(lineage: Lineage) -> set[str]:
    return set(lineage.directory.names()) - {"lock"}


def test_a_generation_that_was_made_is_whole_and_numbered_from_one(lineage: Lineage) -> None:
    for number in (1, 2, 3):
        manifest = samples.generation(lineage, _FILES)
        generation = lineage.generation(number)
        assert manifest.generation == number
        assert generation.manifest(samples.KEY) == manifest
        assert generation.looks_whole(manifest)
        generation.verify(manifest)
    assert lineage.numbers() == [1, 2, 3]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_generation_whose_making_fails_leaves_nothing_behind(
    lineage: Lineage, manifest: Manifest, failure: type[BaseException]
) -> None:
    before = _names(lineage)
    with pytest.raises(failure), lineage.new_generation() as generation:
        (generation.image_dir / "pages-1.img").write_bytes(b"half")
        assert f"{generation.number}.partial" in _names(lineage)
        raise failure
    assert _names(lineage) == before
    lineage.generation(1).verify(manifest)


def test_what_a_dead_action_left_half_made_is_swept_and_its_number_used_again(
    lineage: Lineage, manifest: Manifest
) -> None:
    left = lineage.path / "2.partial" / "image"
    left.mkdir(parents=True)
    (left / "pages-1.img").write_bytes(b"half")
    assert lineage.numbers() == [1]
    assert samples.generation(lineage, _FILES).generation == 2
    assert _names(lineage) == {"1", "2"}


def test_a_number_that_is_none_is_no_generation(lineage: Lineage, manifest: Manifest) -> None:
    for name in ("²", "٣", "02", "0", "1x", "-1", "9" * 30):
        (lineage.path / name).mkdir()
    assert lineage.numbers() == [1]


def test_the_newest_generation_is_the_last_that_was_finished(lineage: Lineage) -> None:
    assert lineage.newest() is None and lineage.newest_number() == 0
    with lineage.new_generation():
        assert lineage.newest() is None
    for _ in range(9):
        samples.generation(lineage, {"a.img": b"a"})
    newest = lineage.newest()
    assert newest is not None and newest.number == lineage.newest_number() == 10


def test_a_job_lives_here_by_its_tree_or_by_who_keeps_its_record(
    started: Callable[..., subprocess.Popen[bytes]],
) -> None:
    keeper, tree = started("/bin/sleep", "60"), started("/bin/sleep", "60")
    ids = [found.id for each in (keeper, tree) if (found := proc.stat(each.pid)) is not None]
    live = samples.live(keeper=ids[0], tree=ids[1])
    first, other = lives_here(live), tree_here(live)
    assert first is not None and other is not None and first.pid == other.pid == tree.pid
    tree.kill()
    tree.wait()
    first = lives_here(live)
    assert first is not None and first.pid == keeper.pid and tree_here(live) is None
    elsewhere = [each._replace(boot_id=samples.live().keeper.boot_id) for each in ids]
    for ended in (live._replace(keeper=ids[1]), samples.live(keeper=elsewhere[0]), None):
        assert lives_here(ended) is None and tree_here(ended) is None


def test_a_file_or_link_in_place_of_a_generation_is_no_image(lineage: Lineage) -> None:
    (lineage.path / "7").write_text("not a directory")
    (lineage.path / "8").symlink_to("/")
    for number in (6, 7, 8):
        with pytest.raises(NoImage, match=f"generation {number}"):
            lineage.generation(number)


@pytest.mark.parametrize(
    ("depth", "kept"), [(3, [3, 4, 5]), (1, [5]), (0, [5]), (9, [1, 2, 3, 4, 5])]
)
def test_pruning_keeps_the_newest_and_never_less_than_one(
    lineage: Lineage, depth: int, kept: list[int]
) -> None:
    for _ in range(5):
        samples.generation(lineage, {"a.img": b"a"})
    assert lineage.prune(depth) == [n for n in range(1, 6) if n not in kept]
    assert lineage.numbers() == kept
    assert _names(lineage) == set(map(str, kept))
    lineage.generation(5).verify(lineage.generation(5).manifest())


def _flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def _to_link(file: Path) -> None:
    file.rename(file.with_name("..moved"))
    file.symlink_to("..moved")


def _to_fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda image: (image / "inventory.img").unlink(), "inventory.img is missing"),
        (lambda image: (image / "extra.img").touch(), "extra.img does not belong to it"),
        (lambda image: os.truncate(image / "pages-1.img", 7), "pages-1.img has another size"),
        (lambda image: os.truncate(image / "empty.img", 1), "empty.img has another size"),
        (lambda image: _flip(image / "pages-1.img"), "pages-1.img has another checksum"),
        (lambda image: _to_link(image / "inventory.img"), "inventory.img has another size"),
        (lambda image: _to_fifo(image / "inventory.img"), "inventory.img has another size"),
        (lambda image: image.rename(image.with_name("gone")), "No such file"),
    ],
)  # fmt: skip
def test_every_damage_to_an_image_is_found_and_named(
    lineage: Lineage, manifest: Manifest, damage: Callable[[Path], object], told: str
) -> None:
    generation = lineage.generation(1)
    damage(generation.image_dir)
    with pytest.raises(ImageDamaged, match=told) as damaged:
        generation.verify(manifest)
    assert "generation 1" in str(damaged.value) and samples.JOB in str(damaged.value)


def test_a_flipped_bit_alone_is_what_only_reading_finds(
    lineage: Lineage, manifest: Manifest
) -> None:
    generation = lineage.generation(1)
    _flip(generation.image_dir / "pages-1.img")
    assert generation.looks_whole(manifest)
    os.truncate(generation.image_dir / "pages-1.img", 7)
    assert not generation.looks_whole(manifest)


def test_a_fifo_with_the_size_of_the_file_it_replaced_hangs_nobody(lineage: Lineage) -> None:
    manifest = samples.generation(lineage, {"empty.img": b""})
    generation = lineage.generation(1)
    (generation.image_dir / "empty.img").unlink()
    os.mkfifo(generation.image_dir / "empty.img")
    with pytest.raises(ImageDamaged, match="not a regular file"):
        generation.verify(manifest)


def _manifest_of(generation: Generation) -> Path:
    return generation.path / "manifest.json"


def test_a_generation_without_a_manifest_was_never_finished(
    lineage: Lineage, manifest: Manifest
) -> None:
    generation = lineage.generation(1)
    _manifest_of(generation).unlink()
    with pytest.raises(ManifestMissing):
        generation.manifest()


@pytest.mark.parametrize("data", [b"", b"{", b'{"manifest": {"format": 99}}', b"\0" * 1000])
def test_a_torn_manifest_is_told_with_its_path(
    lineage: Lineage, manifest: Manifest, data: bytes
) -> None:
    generation = lineage.generation(1)
    _manifest_of(generation).write_bytes(data)
    for key in (None, samples.KEY):
        with pytest.raises(ManifestTorn, match=str(_manifest_of(generation))):
            generation.manifest(key)


def test_a_link_or_fifo_in_place_of_the_manifest_is_told(
    lineage: Lineage, manifest: Manifest
) -> None:
    file = _manifest_of(lineage.generation(1))
    file.rename(file.with_name("elsewhere"))
    file.symlink_to("elsewhere")
    with pytest.raises(ManifestTorn):
        lineage.generation(1).manifest()
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(ManifestTorn):
        lineage.generation(1).manifest()


def test_a_manifest_that_the_owner_has_changed_is_not_believed(
    lineage: Lineage, manifest: Manifest
) -> None:
    generation = lineage.generation(1)
    generation.write_manifest(manifest._replace(exec_pid=1), bytes(32))
    assert generation.manifest().exec_pid == 1
    with pytest.raises(SignatureWrong):
        generation.manifest(samples.KEY)


def test_records_of_a_lineage_come_back_and_are_none_before(lineage: Lineage) -> None:
    assert lineage.live() is None and lineage.first_leader() is None
    live = samples.live()
    lineage.write_live(live)
    lineage.write_first_leader(live.keeper)
    assert lineage.live() == live
    assert lineage.first_leader() == live.keeper


def test_more_generations_than_a_process_may_have_open_can_be_looked_through(
    lineage: Lineage, manifest: Manifest
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        assert lineage.generation(1).manifest() == manifest
    assert len(os.listdir("/proc/self/fd")) <= before + 1


@pytest.mark.parametrize(
    ("doubtful", "kept"),
    [((), [4, 5]), ((5,), [4, 5]), ((4, 5), [3, 4, 5]), ((3, 4, 5), [2, 4, 5])],
)
def test_where_all_that_stay_are_doubtful_the_newest_that_is_not_stays_too(
    lineage: Lineage, doubtful: tuple[int, ...], kept: list[int]
) -> None:
    for _ in range(5):
        made = samples.generation(lineage, {"memory": b"x"})
        if made.generation in doubtful:
            changed = made._replace(doubts=("/scratch/data is gone since",))
            lineage.generation(made.generation).write_manifest(changed, samples.KEY)
    lineage.prune(2)
    assert lineage.numbers() == kept
    lineage.prune(2)
    assert lineage.numbers() == kept
