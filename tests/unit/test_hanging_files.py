# SPDX-License-Identifier: MIT
"""The files of one owner hang, as on a file server that is silent: the others' are seen to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests import accounts
from tests.support import LIMIT_SECONDS
from tests.unit import real, samples
from torqueckpt import log
from torqueckpt.identity import Owner
from torqueckpt.images import prune
from torqueckpt.node import housekeeping
from torqueckpt.node.periodic import Periodic
from torqueckpt.process import privileges, worker
from torqueckpt.settings import Settings
from torqueckpt.store.store import OwnerStore, Store


@pytest.fixture
def people(root: None) -> Iterator[list[Owner]]:
    """The one whose files hang comes first, by name."""
    beginning = accounts.new_name()
    with accounts.users(f"{beginning}a", f"{beginning}b") as made:
        yield [privileges.owner(each.name) for each in made]


@pytest.fixture
def chosen(people: list[Owner], place: Path) -> Settings:
    """A store in which each has a job with two images, of which the older one is too old."""
    (place / "jobs").mkdir()
    store = Store.open(place)
    for number, owner in enumerate(people):
        with privileges.acting_as(owner):
            owner_store = store.owner(owner, make=True)
            lineage = owner_store.make_lineage(f"{number}.srv@1700000000")
            owner_store.belongs(f"{number}.srv", lineage)
            for _ in range(2):
                samples.generation(lineage, {"pages-1.img": b"pages"})
    return Settings(store=place, local_home=place, keep_days=1, prune_interval_minutes=1)


def images(chosen: Settings, owner: Owner) -> list[str]:
    (lineage,) = (chosen.store / "jobs" / owner.name).glob("*.srv@*")
    return sorted(each.name for each in lineage.iterdir() if each.name.isdigit())


@pytest.fixture
def hang(people: list[Owner], monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Have the first one's files hang from now on; he alone is not waited for long."""
    before, asked = Store.owner, getattr(worker, "of_owner", None)

    def owner(self: Store, who: Owner, make: bool = False) -> OwnerStore:
        while who == people[0]:
            time.sleep(1)
        return before(self, who, make)

    def of_owner(name: str, work: Any, kind: Any, seconds: float, tell: Any) -> Any:
        assert asked is not None
        limit = 0.5 if name == people[0].name else LIMIT_SECONDS
        return asked(name, work, kind, limit, tell)

    def begin() -> None:
        monkeypatch.setattr(Store, "owner", owner)
        monkeypatch.setattr(worker, "of_owner", of_owner, raising=False)

    return begin


class _Planned(NamedTuple):
    owners: tuple[str, ...]
    told: tuple[str, ...]


class _Server:
    def close(self) -> None:
        return None

    def jobs(self, *_: object, **__: object) -> list[object]:
        return []


def test_the_service_prunes_what_is_the_others(
    chosen: Settings,
    people: list[Owner],
    hang: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(housekeeping, "connect", lambda *_: _Server())
    hang()
    service = Periodic(chosen)
    service._housekeeping.prune(None)
    real.until(lambda: images(chosen, people[1]) == ["2"], "the other's old image went")
    real.until(lambda: service._background.is_free("prune"), "the prune's end")
    assert images(chosen, people[0]) == ["1", "2"]


def test_a_prune_tells_whose_files_hang(
    chosen: Settings, people: list[Owner], hang: Callable[[], None]
) -> None:
    hang()
    told: list[str] = []

    def dry() -> _Planned:
        gone = prune.prune(None, chosen, None, dry_run=True, tell=told.append)
        return _Planned(tuple(each.owner for each in gone), tuple(told))

    found = worker.answered(dry, _Planned, LIMIT_SECONDS)
    why = "left out: no answer within 0.5 s, as where a file system hangs"
    assert found == ((people[1].name,), (f"{people[0].name}: {why}",))


def test_the_service_writes_the_figures_of_the_others(
    chosen: Settings, people: list[Owner], hang: Callable[[], None]
) -> None:
    file = chosen.store / "torqueckpt.prom"
    hang()
    service = Periodic(chosen._replace(metrics_textfile=file))
    service._housekeeping.measure()
    real.until(file.exists, "the figures are written")
    real.until(lambda: service._background.is_free("metrics"), "the worker's end")
    text = file.read_text()
    assert f'torqueckpt_images{{job="1.srv@1700000000",user="{people[1].name}"}} 2.0' in text
    assert f'user="{people[0].name}"' not in text
    assert log.lines().count(f"{people[0].name}: left out: no answer within") == 1
