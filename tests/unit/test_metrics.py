# SPDX-License-Identifier: MIT
"""Figures for Prometheus: right, whole, readable, and no user makes series of his own."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.unit import real, samples
from torqueckpt import settings
from torqueckpt.cli.main import main
from torqueckpt.errors import StoreNotWritable
from torqueckpt.identity import Owner
from torqueckpt.node.periodic import Periodic
from torqueckpt.process import privileges
from torqueckpt.reports import metrics
from torqueckpt.settings import Settings
from torqueckpt.store import journal
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import OwnerStore

Figures = dict[tuple[str, tuple[str, ...]], float]


def _figures(text: bytes) -> Figures:
    """(name, label values in the order of their names) → value."""
    return {
        (
            sample.name.removeprefix("torqueckpt_"),
            tuple(v for _, v in sorted(sample.labels.items())),
        ): (sample.value)
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


@pytest.fixture
def chosen(lineage: Lineage, owner_store: OwnerStore, user: Owner) -> Settings:
    """The store of a job with two images, one failure of a known kind and one made up."""
    with privileges.acting_as(user):
        samples.generation(lineage, {"pages-1.img": b"x" * 100})
        samples.generation(lineage, {"pages-1.img": b"x" * 250})
        journal.note(owner_store, "checkpoint", samples.JOB)
        journal.note(owner_store, "checkpoint-failed", samples.JOB, code=19, reason="x")
        journal.note(owner_store, "checkpoint-failed", samples.JOB, code=123456, reason="made up")
        journal.note(owner_store, "made-up", samples.JOB)
        journal.note(owner_store, "checkpoint-failed", "77.doctor", code=19, reason="x")
    return Settings(store=owner_store.path.parent.parent)


def test_a_jobs_newest_image_and_what_failed(chosen: Settings, user: Owner) -> None:
    found = _figures(metrics.text([user], chosen))
    job = (samples.LINEAGE, user.name)
    assert found["images", job] == 2
    assert found["newest_image_bytes", job] == 250 and found["images_bytes", job] == 350
    assert found["newest_image_frozen_seconds", job] == 0.007
    age = time.time() - samples.a_manifest().created
    assert abs(found["newest_image_age_seconds", job] - age) < 60
    assert found["events", ("checkpoint", user.name)] == 1
    failures = {labels: n for (name, labels), n in found.items() if name == "failures"}
    assert failures == {
        ("checkpoint-failed", "CannotBeDumped"): 1,
        ("checkpoint-failed", "other"): 1,
    }
    assert found["store_free_bytes", ()] > 0


def test_a_torn_image_is_counted_and_is_not_the_newest(
    chosen: Settings, user: Owner, lineage: Lineage
) -> None:
    (lineage.path / "2" / "manifest.json").write_text("{")
    found = _figures(metrics.text([user], chosen))
    job = (samples.LINEAGE, user.name)
    assert found["images", job] == 2 and found["newest_image_bytes", job] == 100


@pytest.mark.parametrize("created", [10**12, -6 * 10**10])
def test_an_image_of_a_year_that_no_date_has_is_not_the_newest(
    chosen: Settings, user: Owner, lineage: Lineage, created: int
) -> None:
    file = lineage.path / "2" / "manifest.json"
    content = json.loads(file.read_bytes())
    content["manifest"]["created"] = created
    file.write_text(json.dumps(content))
    found = _figures(metrics.text([user], chosen))
    job = (samples.LINEAGE, user.name)
    assert found["images", job] == 2 and found["newest_image_bytes", job] == 100


def test_a_store_of_one_user_that_is_closed_costs_no_other_his_figures(
    chosen: Settings, user: Owner, owner_store: OwnerStore
) -> None:
    owner_store.path.chmod(0o777)
    assert not [name for name, labels in _figures(metrics.text([user], chosen)) if labels]


def test_the_file_is_written_whole_and_for_all_to_read(
    chosen: Settings, user: Owner, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "load", lambda: chosen)
    before = os.umask(0o077)
    try:
        file = place / "torqueckpt.prom"
        file.write_text("old\n")
        words = ["metrics", "--user", user.name, "--textfile", str(file)]
        assert main(words) == 0
        assert ("images", (samples.LINEAGE, user.name)) in _figures(file.read_bytes())
        assert os.listdir(place).count("torqueckpt.prom.new") == 0
        assert main([*words[:-1], str(place / "fresh.prom")]) == 0
        assert (place / "fresh.prom").stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(before)


def test_a_directory_that_is_not_there_is_told(chosen: Settings, place: Path) -> None:
    with pytest.raises(StoreNotWritable, match="No such file"):
        metrics.write(place / "none" / "x.prom", b"")


def test_the_periodic_service_writes_it_once_a_minute_and_outlives_a_failure(
    chosen: Settings, place: Path
) -> None:
    file = place / "here" / "torqueckpt.prom"
    service = Periodic(Settings(store=chosen.store, metrics_textfile=file))

    def written() -> None:
        """Have it write, if it wants to, and wait for that."""
        service._housekeeping.measure()
        real.until(lambda: service._background.is_free("metrics"), "the worker's end")

    written()
    assert not file.parent.exists()
    file.parent.mkdir()
    written()
    assert not file.exists(), "the minute is not over"
    service._housekeeping._measured -= 61
    written()
    assert b"torqueckpt_newest_image_age_seconds" in file.read_bytes()
    idle = Periodic(Settings(store=chosen.store))
    idle._housekeeping.measure()
    assert idle._background.is_free("metrics")
