# SPDX-License-Identifier: MIT
"""mom-restart under TORQUE: whatever is wrong, the job is put on hold before MOM sees a failure."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from torqueckpt import settings
from torqueckpt.errors import OWN_FAILURE, SettingsError
from torqueckpt.hooks import mom_restart
from torqueckpt.settings import Settings

_ARGV = ["4241", "12.srv", "ann", "staff", "/var/spool/pointers/12.srv.CK", "ckpt.12.srv.1"]


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str]]]:
    jobs: list[tuple[str, str]] = []
    ours = os.umask(0o022)  # the hook sets its own
    monkeypatch.setattr(mom_restart, "keep_held", lambda job, why, _: jobs.append((job, why)))
    yield jobs
    os.umask(ours)


def test_settings_that_cannot_be_read(
    held: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load() -> Settings:
        raise SettingsError(file="torqueckpt.toml", problem="line 3: no such option")

    monkeypatch.setattr(settings, "load", load)
    assert mom_restart.main(_ARGV) == OWN_FAILURE
    assert held == [("12.srv", "torqueckpt.toml: line 3: no such option")]


def test_a_bug_of_ours(held: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "load", lambda: 1 / 0)
    assert mom_restart.main(_ARGV) == OWN_FAILURE
    assert held == [("12.srv", "division by zero")]


@pytest.mark.parametrize("name", ["../x", "a/b"])
def test_a_name_that_the_user_has_altered(
    held: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setattr(settings, "load", lambda: Settings(store=tmp_path))
    assert mom_restart.main([*_ARGV[:-1], name]) == OWN_FAILURE
    assert [job for job, _ in held] == ["12.srv"]


def test_a_job_id_that_is_none_is_put_nowhere(held: list[tuple[str, str]]) -> None:
    assert mom_restart.main(["4241", "12.srv/../..", *_ARGV[2:]]) == OWN_FAILURE
    assert held == []
