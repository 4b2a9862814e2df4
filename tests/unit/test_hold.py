# SPDX-License-Identifier: MIT
"""A failed restart is held by the server where there is one, and by no other batch system's."""

from __future__ import annotations

from pathlib import Path

import pytest

from torqueckpt import log
from torqueckpt.batch.torque.hold import keep_held
from torqueckpt.settings import Settings


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(log, "error", lines.append)
    return lines


def test_without_a_library_the_failure_stays_one_and_is_told(
    tmp_path: Path, told: list[str]
) -> None:
    settings = Settings(local_home=tmp_path, pbs_library=Path("/nonexistent/libtorque.so"))
    keep_held("1.srv", "image damaged", settings)
    assert len(told) == 1
    assert "1.srv: the server does not hold it: /nonexistent/libtorque.so" in told[0]


def test_a_job_of_the_local_mom_is_not_looked_for_at_any_server(
    tmp_path: Path, told: list[str]
) -> None:
    record = tmp_path / "mom_priv" / "jobs" / "1.srv.JB"
    record.parent.mkdir(parents=True)
    record.write_text("{}")
    keep_held("1.srv", "image damaged", Settings(local_home=tmp_path, pbs_library=Path("/x")))
    assert told == []
