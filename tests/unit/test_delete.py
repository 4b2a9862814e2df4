# SPDX-License-Identifier: MIT
"""Deleting images: a job's files that a restart has cut and left so are whole again first."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit import samples
from torqueckpt.errors import ImagesNeeded
from torqueckpt.files import intent, rollback
from torqueckpt.identity import Owner
from torqueckpt.images import catalogue
from torqueckpt.process import privileges
from torqueckpt.records import FileChange, Intent
from torqueckpt.settings import Settings
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import Store


@pytest.mark.parametrize("torn", [False, True])
def test_a_restart_that_died_is_undone_before_what_it_kept_goes(
    user: Owner, place: Path, store: Store, lineage: Lineage, torn: bool
) -> None:
    (place / "run").mkdir()
    os.chown(place / "run", user.uid, user.gid)
    data = place / "run" / "data"
    with privileges.acting_as(user):
        data.write_bytes(b"then, and since")
        now = data.stat()
        change = FileChange(
            *(str(data), True, now.st_dev, now.st_ino, now.st_size, 0o600, now.st_mtime_ns),
            *(True, 5, "", now.st_mtime_ns, "a1.0"),
        )
        intent.write(lineage.directory, Intent("a1", samples.JOB, 1, (), (), (change,)))
        rollback.apply(lineage.directory, (), [change])
        if torn:
            (lineage.path / "intent.json").write_bytes(b"{")
    assert data.read_bytes() == b"then,"
    chosen = Settings(store=store.root.path)
    assert catalogue.delete(samples.JOB, user, chosen, None, None) == []
    assert data.read_bytes() == (b"then," if torn else b"then, and since")
    assert not lineage.path.exists()


def test_the_newest_that_would_surely_come_back_is_needed_as_the_newest_is(
    user: Owner, store: Store, lineage: Lineage
) -> None:
    with privileges.acting_as(user):
        for doubts in ((), (), ("a socket",)):
            samples.generation(lineage, {"a.img": b"a"}, doubts)
    chosen = Settings(store=store.root.path)
    for number in (2, 3):
        with pytest.raises(ImagesNeeded, match="it waits"):
            catalogue.delete(samples.JOB, user, chosen, number, lambda *_: "it waits")
    assert catalogue.delete(samples.JOB, user, chosen, 1, lambda *_: "it waits") == [1]
