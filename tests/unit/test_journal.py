# SPDX-License-Identifier: MIT
"""The last that happened to a job decides whether it waits for its image."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from torqueckpt.safe_files import Directory
from torqueckpt.store import journal
from torqueckpt.store.store import OwnerStore


@pytest.fixture
def owner_store(tmp_path: Path) -> OwnerStore:
    directory = Directory.open(tmp_path.resolve())
    return cast("OwnerStore", SimpleNamespace(directory=directory, path=directory.path))


def test_the_last_line_of_the_job_is_found_among_those_of_others(owner_store: OwnerStore) -> None:
    assert journal.last(owner_store, "job", "1.srv") == {}
    journal.note(owner_store, "checkpoint", "1.srv", ended=True)
    journal.note(owner_store, "checkpoint", "2.srv", ended=False)
    assert journal.last(owner_store, "job", "1.srv")["ended"] is True
    journal.note(owner_store, "restart", "1.srv")
    assert journal.last(owner_store, "job", "1.srv")["event"] == "restart"
    assert journal.last(owner_store, "job", "3.srv") == {}


def test_a_journal_of_many_years_is_read_from_its_end(
    owner_store: OwnerStore, tmp_path: Path
) -> None:
    line = b'{"event": "checkpoint", "job": "2.srv"}\n'
    (tmp_path / "journal").write_bytes(line * (20 * 1024 * 1024 // len(line)))
    journal.note(owner_store, "checkpoint", "1.srv", ended=True)
    assert journal.last(owner_store, "job", "1.srv").get("ended") is True
    assert journal.last(owner_store, "job", "3.srv") == {}


@pytest.mark.parametrize("text", ["no json\n", "[1]\n", "\xff\n", '{"job": "1.srv"\n'])
def test_a_line_that_is_none_of_ours_makes_nothing_certain(
    owner_store: OwnerStore, tmp_path: Path, text: str
) -> None:
    journal.note(owner_store, "checkpoint", "1.srv", ended=True)
    with (tmp_path / "journal").open("a", encoding="latin-1") as file:
        file.write(text)
    assert journal.last(owner_store, "job", "1.srv") == {}


HUGE = "9" * 400


@pytest.mark.parametrize(
    "text",
    [
        f'{{"time": {HUGE}, "event": "checkpoint", "job": "1.srv"}}\n',
        f'{{"time": 7, "event": "checkpoint", "job": "1.srv", "bytes": {HUGE}}}\n',
        f'{{"time": 7, "event": "checkpoint", "job": "1.srv", "frozen_us": {1 << 64}}}\n',
        '{"time": 7, "event": "checkpoint", "job": "1.srv", "took_ms": NaN}\n',
        '{"time": 7, "event": "checkpoint", "job": "1.srv", "took_ms": 1e400}\n',
        '{"time": 7, "event": "checkpoint", "job": "1.srv", "x": ' + "[" * 10**6 + "]}\n",
        '{"time": 7, "event": "checkpoint", "job": "1.srv", "x": "' + "x" * (2 << 20) + '"}\n',
    ],
)
def test_a_line_with_a_number_that_nobody_has_measured_is_none_of_ours(
    owner_store: OwnerStore, tmp_path: Path, text: str
) -> None:
    (tmp_path / "journal").write_text(text)
    assert list(journal.since(owner_store, 0)) == []
    assert journal.last(owner_store, "job", "1.srv") == {}
    journal.note(owner_store, "checkpoint", "1.srv")
    assert len(list(journal.since(owner_store, 0))) == 1
