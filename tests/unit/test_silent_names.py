# SPDX-License-Identifier: MIT
"""A name service that hangs: who has images is known by them, and nobody waits for it long."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from torqueckpt import log
from torqueckpt.batch import job_details
from torqueckpt.errors import NamesSilent, UnknownUser
from torqueckpt.identity import Owner
from torqueckpt.process import privileges
from torqueckpt.settings import Settings
from torqueckpt.store import access

ANN = 1001


def hangs(*_: object) -> Owner:
    time.sleep(6000)
    raise AssertionError("nobody waits so long")


@pytest.fixture
def settings(root: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, uid in (("ann", ANN), ("root", 0)):
        place = tmp_path / "jobs" / name
        place.mkdir(parents=True, mode=0o700)
        os.chown(place, uid, uid)
    monkeypatch.setattr(access, "_NAMES_SECONDS", 0.3)
    return Settings(store=tmp_path)


def test_who_has_images_is_whom_they_belong_to(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(privileges, "owner", hangs)
    assert access.owner_named("ann", settings) == Owner("ann", ANN, ANN, ())
    assert "ann: the name service is silent" in log.lines()


@pytest.mark.parametrize("name", ["bob", "root", "../jobs/ann", ".", ""])
def test_of_nobody_else_anything_is_made_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(privileges, "owner", hangs)
    with pytest.raises(NamesSilent, match="does not say within 0.3 s who"):
        access.owner_named(name, settings)


def test_where_it_answers_its_word_counts(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_NAMES_SECONDS", 300.0)
    assert access.owner_named("nobody", settings) == privileges.owner("nobody")
    with pytest.raises(UnknownUser):
        access.owner_named("ann-who-is-not-there", settings)


def test_a_groups_name_that_nobody_tells_is_left_out(
    root: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert job_details._group(os.getpid())
    monkeypatch.setattr(job_details, "_NAMES_SECONDS", 0.3)
    monkeypatch.setattr(job_details.grp, "getgrgid", hangs)
    assert job_details._group(os.getpid()) == ""
