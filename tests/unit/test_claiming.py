# SPDX-License-Identifier: MIT
"""What counts as knowing that a job of another node is over, where no server can be asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from torqueckpt.request import RestartRequest
from torqueckpt.restart import claiming
from torqueckpt.safe_files import Directory
from torqueckpt.settings import Settings
from torqueckpt.store.store import OwnerStore

_IMAGE = {"event": "checkpoint", "ended": False}
_HELD = {"event": "checkpoint", "ended": True}
_RESTART = {"event": "restart"}
_SUBMIT = {"event": "submit"}
_FAILED = {"event": "restart-failed"}


def _over(tmp_path: Path, lines: list[dict[str, object]], present: str = "13.srv") -> bool:
    told = [json.dumps({"time": 100 + n, "job": "12.srv", **line}) for n, line in enumerate(lines)]
    (tmp_path / "journal").write_text("\n".join(told) + "\n")
    owner_store = OwnerStore(Directory.open(tmp_path.resolve()))
    settings = Settings(pbs_library=tmp_path / "none.so")
    request = RestartRequest("12.srv", present)
    return claiming.known_to_have_ended(owner_store, "12.srv", request, settings)


@pytest.mark.parametrize(
    ("lines", "over"),
    [
        ([_IMAGE, _HELD], True),
        ([_HELD, _SUBMIT], True),  # the resume job was submitted
        ([_HELD, _FAILED], True),
        ([_HELD, _RESTART], False),
        ([_HELD, _RESTART, _IMAGE], False),
        ([_HELD, _RESTART, _HELD], True),
        ([_IMAGE], False),
        ([_SUBMIT], False),
        ([{**_HELD, "time": "soon"}], False),
    ],
)
def test_a_hold_that_ended_it_is_enough_until_it_is_restarted(
    tmp_path: Path, lines: list[dict[str, object]], over: bool
) -> None:
    assert _over(tmp_path, lines) == over


def test_a_job_that_its_server_has_started_here_runs_nowhere_else(tmp_path: Path) -> None:
    assert _over(tmp_path, [_IMAGE], present="12.srv")
