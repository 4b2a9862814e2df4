# SPDX-License-Identifier: MIT
"""One module opens the store as an owner; what is not there yet is told from what is amiss."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit import samples
from torqueckpt.errors import StoreMissing, StoreNotWritable, UnknownJob
from torqueckpt.identity import Owner
from torqueckpt.settings import Settings
from torqueckpt.store import access
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import OwnerStore, Store

_PACKAGE = Path(access.__file__).parents[1]


def test_an_owner_of_whom_nothing_was_checkpointed_yet_has_no_directory(
    store: Store, user: Owner
) -> None:
    settings = Settings(store=store.root.path)
    with access.as_owner(user, settings) as nothing:
        assert nothing is None and os.geteuid() == user.uid
    assert os.geteuid() == 0
    with pytest.raises(StoreMissing, match="nothing was checkpointed yet"):
        access.owner_store(user, settings)


def test_a_store_that_is_not_there_is_an_error_unless_one_may_do_without(
    place: Path, user: Owner
) -> None:
    settings = Settings(store=place / "nowhere")
    with pytest.raises(StoreMissing, match="make install"), access.as_owner(user, settings):
        pytest.fail("there is no store")
    with access.as_owner(user, settings, store_optional=True) as nothing:
        assert nothing is None and os.geteuid() == user.uid
    with access.lineage_if_any(samples.JOB, user, settings) as nothing_of_it:
        assert nothing_of_it is None


def test_a_jobs_lineage_is_opened_as_its_owner_by_job_and_by_name(
    store: Store, user: Owner, lineage: Lineage
) -> None:
    settings = Settings(store=store.root.path)
    for named in (samples.JOB, samples.LINEAGE):
        with access.lineage_of(named, user, settings) as (_, found):
            assert found.name == lineage.name and os.geteuid() == user.uid
        with access.lineage_if_any(named, user, settings) as maybe:
            assert maybe is not None and maybe[1].name == lineage.name


def test_a_job_without_an_image_is_unknown(
    store: Store, user: Owner, owner_store: OwnerStore
) -> None:
    settings = Settings(store=store.root.path)
    with pytest.raises(UnknownJob), access.lineage_of("99.srv", user, settings):
        pytest.fail("nobody has that job")
    assert os.geteuid() == 0
    with access.lineage_if_any("99.srv", user, settings) as nothing:
        assert nothing is None


def test_a_directory_that_others_may_read_is_refused_however_it_is_opened(
    store: Store, user: Owner, lineage: Lineage
) -> None:
    settings = Settings(store=store.root.path)
    (store.root.path / "jobs" / user.name).chmod(0o755)
    with pytest.raises(StoreNotWritable, match="0700"), access.as_owner(user, settings):
        pytest.fail("it is open to others")
    with (
        pytest.raises(StoreNotWritable, match="0700"),
        access.lineage_if_any(samples.JOB, user, settings),
    ):
        pytest.fail("it is open to others")
    assert os.geteuid() == 0


def test_nothing_else_opens_the_store() -> None:
    opening = [
        str(path.relative_to(_PACKAGE))
        for path in _PACKAGE.rglob("*.py")
        if "Store.open(" in path.read_text()
    ]
    assert opening == ["store/access.py"]
