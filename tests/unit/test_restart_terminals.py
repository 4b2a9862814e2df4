# SPDX-License-Identifier: MIT
"""Numbers of pseudo terminals that CRIU can have, where an image's own are taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from torqueckpt.restart import terminals


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(terminals, "_PLACE", str(tmp_path))
    (tmp_path / "ptmx").touch()
    return tmp_path


def _taken(place: Path, *numbers: int) -> None:
    for number in numbers:
        (place / str(number)).touch()


def test_those_that_are_free_stay() -> None:
    assert terminals.elsewhere((0, 3, 31)) == {}
    assert terminals.elsewhere(()) == {}


def test_a_taken_one_gets_a_number_that_nobody_is_about_to_get(place: Path) -> None:
    _taken(place, 0, 1, 3)
    assert terminals.elsewhere((1, 2)) == {1: 12}  # 2 is its own, and eight below are left free


def test_one_that_criu_would_not_reach_gets_a_lower_one(place: Path) -> None:
    assert terminals.elsewhere((31, 32)) == {32: 8}


def test_many_get_different_ones_that_criu_reaches(place: Path) -> None:
    _taken(place, *range(20))
    now = terminals.elsewhere(range(20))
    assert sorted(now) == list(range(20)) and len(set(now.values())) == 20
    assert min(now.values()) >= 20 and max(now.values()) < 20 + 32
