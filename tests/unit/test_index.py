# SPDX-License-Identifier: MIT
"""A listing by the index: missing, torn, wrong or made up, it tells what the manifests tell."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit import samples
from torqueckpt.checkpoint import publish
from torqueckpt.identity import Owner
from torqueckpt.images import catalogue, prune
from torqueckpt.images.catalogue import GenerationRow
from torqueckpt.manifest import Manifest
from torqueckpt.process import privileges
from torqueckpt.request import CheckpointRequest
from torqueckpt.settings import Settings
from torqueckpt.store import index
from torqueckpt.store.generation import Generation
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import OwnerStore, Store

_FILES = {"inventory.img": b"inventory", "pages-1.img": b"pages"}


class Shop:
    """A lineage with three images, each made known as a checkpoint does it."""

    def __init__(self, store: Store, owner_store: OwnerStore, lineage: Lineage, user: Owner):
        self.store, self.owner_store, self.lineage, self.user = store, owner_store, lineage, user
        self.settings = Settings(store=store.root.path)
        self.file = lineage.path / "index.json"
        for _ in range(3):
            self.publish()

    def publish(self, **changes: Any) -> Manifest:
        with privileges.acting_as(self.user):
            made = samples.generation(self.lineage, _FILES)
            job = samples.job(owner=self.user.name, id=changes.pop("job", samples.JOB))
            made = made._replace(job=job, **changes)
            self.generation(made.generation).write_manifest(made, samples.KEY)
            request = CheckpointRequest(sid=1, job_id=job.id, owner=self.user.name)
            publish.make_known(self.store, self.owner_store, self.lineage, made, request)
            self.lineage.prune(3, {made.generation: made})
        return made

    def generation(self, number: int) -> Generation:
        return self.lineage.generation(number)

    def listed(self) -> list[GenerationRow]:
        return catalogue.rows(self.user, self.settings, None)

    def looked_at(self) -> list[GenerationRow]:
        """By manifests and sizes alone."""
        return catalogue.rows(self.user, self.settings, self.lineage.name)

    def links(self) -> dict[str, str | None]:
        root = self.store.root
        return {name: root.target(name) for name in root.names() if name != "jobs"}

    def target(self, generation: int) -> str:
        return f"jobs/{self.user.name}/{self.lineage.name}/{generation}/image"


@pytest.fixture
def shop(store: Store, owner_store: OwnerStore, lineage: Lineage, user: Owner) -> Iterator[Shop]:
    yield Shop(store, owner_store, lineage, user)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of generations whose manifests are read."""
    found: list[int] = []
    manifest = Generation.manifest

    def noted(self: Generation, key: bytes | None = None) -> Manifest:
        found.append(self.number)
        return manifest(self, key)

    monkeypatch.setattr(Generation, "manifest", noted)
    return found


def test_a_listing_reads_no_manifest_that_the_index_has(shop: Shop, reads: list[int]) -> None:
    rows = shop.listed()
    assert reads == []
    assert [(row.generation, row.whole) for row in rows] == [(1, True), (2, True), (3, True)]
    assert rows == shop.looked_at()
    assert reads == [1, 2, 3]


def test_a_publish_reads_no_manifest_and_forgets_images_that_went(
    shop: Shop, reads: list[int]
) -> None:
    for _ in range(2):
        shop.publish()
    assert reads == []
    with privileges.acting_as(shop.user):
        assert sorted(index.read(shop.lineage)) == [2, 3, 4, 5]  # 2 went after it was written
    assert [row.generation for row in shop.listed()] == [3, 4, 5]


def _missing(file: Path) -> None:
    file.unlink()


def _torn(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-40])


def _half(file: Path) -> None:
    """As one that was killed between the image's name and the index."""
    known = json.loads(file.read_bytes())
    known["generations"].pop()
    file.write_text(json.dumps(known))


def _older_form(file: Path) -> None:
    known = json.loads(file.read_bytes())
    for line in known["generations"]:
        del line["image_mtime_ns"]
    file.write_text(json.dumps(known))


def _huge(file: Path) -> None:
    os.truncate(file, 1 << 40)


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _link(file: Path) -> None:
    file.rename(file.parent / "elsewhere")
    file.symlink_to("elsewhere")


def _nested(file: Path) -> None:
    file.write_text("[" * 500_000)


def _digits(file: Path) -> None:
    file.write_text('{"generations": [' + "9" * 100_000 + "]}")


_DONE = (_missing, _torn, _half, _older_form, _huge, _pipe, _link, _nested, _digits)


@pytest.mark.parametrize("do", _DONE, ids=lambda do: do.__name__.strip("_"))
def test_an_index_that_is_none_is_passed_over_and_written_by_the_next_publish(
    shop: Shop, reads: list[int], do: Callable[[Path], None]
) -> None:
    with privileges.acting_as(shop.user):
        do(shop.file)
    rows = shop.listed()
    assert reads == ([3] if do is _half else [1, 2, 3])
    assert rows == shop.looked_at()
    shop.publish()
    reads.clear()
    assert [row.generation for row in shop.listed()] == [2, 3, 4]
    assert reads == []


@pytest.mark.parametrize("do", [_missing, _torn, _half, _older_form])
def test_pruning_writes_the_index_of_an_older_store(
    shop: Shop, reads: list[int], do: Callable[[Path], None]
) -> None:
    do(shop.file)
    prune.prune(None, shop.settings, None)
    reads.clear()
    assert len(shop.listed()) == 3
    assert reads == []
    before = shop.file.stat().st_ino
    prune.prune(None, shop.settings, None)
    assert shop.file.stat().st_ino == before  # nothing was to be written


@pytest.mark.parametrize("name", ["inventory.img", "another.img"])
def test_an_image_from_which_a_file_went_or_to_which_one_came_is_not_whole(
    shop: Shop, name: str
) -> None:
    file = shop.lineage.path / "2" / "image" / name
    file.unlink() if file.exists() else file.touch()
    assert [row.whole for row in shop.listed()] == [True, False, True]


def test_a_manifest_that_is_torn_changed_or_gone_is_seen(shop: Shop) -> None:
    with privileges.acting_as(shop.user):
        (shop.lineage.path / "1" / "manifest.json").write_bytes(b"{")
        (shop.lineage.path / "3" / "manifest.json").unlink()
        changed = shop.generation(2).manifest()._replace(host="another")
        shop.generation(2).write_manifest(changed, samples.KEY)
    rows = shop.listed()
    assert [row.whole for row in rows] == [False, True, False]
    assert [row.host for row in rows] == ["", "another", ""]


def test_a_number_that_is_used_again_is_not_taken_for_the_image_that_went(shop: Shop) -> None:
    with privileges.acting_as(shop.user):
        shop.lineage.remove(3)
        samples.generation(shop.lineage, {"other.img": b"other"})  # and killed before it was known
    assert shop.listed() == shop.looked_at()
    assert shop.listed()[-1].bytes == len(b"other")


@pytest.mark.parametrize("value", [1 << 127, -(1 << 127), 10**18, -(10**18), 1 << 128, "x", None])
@pytest.mark.parametrize("field", index.Line._fields)
def test_what_an_owner_makes_up_in_his_index_is_shown_in_his_rows_alone(
    shop: Shop, field: str, value: object
) -> None:
    known = json.loads(shop.file.read_bytes())
    known["generations"][1][field] = value
    shop.file.write_text(json.dumps(known))
    rows = shop.listed()
    assert [row.generation for row in rows] == [1, 2, 3]
    assert (rows[0], rows[2]) == (shop.looked_at()[0], shop.looked_at()[2])
    assert {(row.owner, row.lineage) for row in rows} == {(shop.user.name, shop.lineage.name)}
    made = shop.publish()
    assert shop.links() == {f"4242.{samples.JOB}": shop.target(made.generation)}


def test_sizes_are_looked_at_in_a_listing_of_one_job(shop: Shop) -> None:
    os.truncate(shop.lineage.path / "2" / "image" / "pages-1.img", 1)
    assert [row.whole for row in shop.looked_at()] == [True, False, True]
    assert [row.whole for row in shop.listed()] == [True, True, True]  # as docs/store.md says


def test_a_link_in_place_of_a_generation_is_not_followed(shop: Shop, place: Path) -> None:
    moved = shop.lineage.path / "2"
    moved.rename(shop.lineage.path / "elsewhere")
    moved.symlink_to("elsewhere")
    assert [row.whole for row in shop.listed()] == [True, False, True]


def test_an_index_that_cannot_be_written_costs_no_image(shop: Shop) -> None:
    (shop.lineage.path / "index.json.new").mkdir()
    made = shop.publish()
    assert shop.links() == {f"4242.{samples.JOB}": shop.target(made.generation)}
    assert shop.listed() == shop.looked_at()


@pytest.mark.parametrize("known", [True, False])
def test_a_job_whose_exec_pid_has_changed_has_one_link(shop: Shop, known: bool) -> None:
    if not known:
        shop.file.unlink()
    made = shop.publish(exec_pid=5555)
    assert shop.links() == {f"5555.{samples.JOB}": shop.target(made.generation)}


@pytest.mark.parametrize("known", [True, False])
def test_a_resumed_jobs_checkpoints_take_the_first_jobs_link_away_once_its_image_went(
    shop: Shop, known: bool
) -> None:
    first, second = f"4242.{samples.JOB}", "4242.13.srv"
    for number in (4, 5, 6):
        if not known:
            shop.file.unlink()
        shop.publish(job="13.srv")
        assert shop.links() == {first: shop.target(3), second: shop.target(number)}
    shop.publish(job="13.srv")  # at the last one image 3 went, after the links were seen to
    assert shop.links() == {second: shop.target(7)}


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("jobs/bob/12.srv@1/1/image", "7777.12.srv"),
        ("jobs/{user}/99.srv@1/1/image", "7777.99.srv"),
        ("jobs/{user}/99.srv@1/1/image", "7777.12.srv"),
        ("../etc", "7777.12.srv"),
    ],
)
def test_an_index_that_names_anothers_link_does_not_take_it_away(
    shop: Shop, target: str, name: str
) -> None:
    target = target.format(user=shop.user.name)
    shop.store.root.point(name, target)
    known = json.loads(shop.file.read_bytes())
    known["generations"][0].update(exec_pid=7777, job=name.partition(".")[2])
    shop.file.write_text(json.dumps(known))
    shop.publish()
    assert shop.links()[name] == target


@pytest.mark.parametrize("job", ["../../x", "a\0b", "\ud800", "x" * 300, "jobs", "", "12.srv\n"])
def test_a_job_id_that_an_index_makes_up_is_no_name_of_a_link(shop: Shop, job: str) -> None:
    known = json.loads(shop.file.read_bytes())
    known["generations"][0]["job"] = job
    shop.file.write_text(json.dumps(known))
    made = shop.publish()
    assert shop.links() == {f"4242.{samples.JOB}": shop.target(made.generation)}


def test_a_new_image_looks_at_no_link_of_other_jobs(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(50):
        shop.store.root.point(f"{number}.77.srv", f"jobs/{shop.user.name}/77.srv@1/1/image")
    looked: list[str] = []
    target = type(shop.store.root).target

    def noted(self: Any, name: str) -> str | None:
        if self is shop.store.root:
            looked.append(name)
        return target(self, name)

    monkeypatch.setattr(type(shop.store.root), "target", noted)
    monkeypatch.delattr(type(shop.store.root), "names")
    with privileges.acting_as(shop.user):
        shop.store.link(
            *(4242, samples.JOB, shop.user.name, shop.lineage.name, 2),
            {"4242.12.srv", "4241.12.srv"},
        )
    assert sorted(looked) == ["4241.12.srv", "4242.12.srv"]
