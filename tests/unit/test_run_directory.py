# SPDX-License-Identifier: MIT
"""Directories of root's in /run: a killed program's goes with the next, nobody else's does."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from torqueckpt.rights import run_directory


@pytest.fixture
def run(root: None, place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = place / "run"
    made.mkdir()
    monkeypatch.setattr(run_directory, "PLACE", made)
    return made


def test_one_of_a_program_that_was_killed_goes_and_one_in_use_stays(run: Path) -> None:
    (run / "torqueckpt-of-a-killed-one").mkdir()
    (run / "torqueckpt-of-a-killed-one" / "core-1.img").touch()
    (run / "another's").mkdir()
    with run_directory.make() as first, run_directory.make("tcp-") as second:
        assert set(os.listdir(run)) == {"another's", first.name, second.name}
        run_directory.remove(first.path)
        run_directory.remove(first.path)
    with run_directory.make() as last:  # nobody holds the second one any more
        assert set(os.listdir(run)) == {"another's", last.name}


def test_many_who_make_and_sweep_at_once_all_have_their_own(run: Path) -> None:
    kept = []

    def make() -> None:
        for _ in range(20):
            with run_directory.make() as made:
                kept.append(made.path.exists())

    several = [threading.Thread(target=make) for _ in range(4)]
    for each in several:
        each.start()
    for each in several:
        each.join()
    assert kept == [True] * 80
