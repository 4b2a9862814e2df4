# SPDX-License-Identifier: MIT
"""A comment that cannot be set is never the reason that something else fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit import samples
from torqueckpt import log
from torqueckpt.batch.openpbs.calls import ActionCall
from torqueckpt.batch.openpbs.comment import comment
from torqueckpt.hooks import mom_checkpoint
from torqueckpt.settings import Settings

_ASK = (
    "import os\nfrom torqueckpt.batch.openpbs.comment import as_mom_was_started\n"
    "as_mom_was_started()\nprint(os.environ.get('PBS_CONF_FILE'))"
)


def test_without_a_library_it_is_told_to_the_log_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(log, "warning", told.append)
    comment("1.srv", "image damaged", Settings(pbs_library=Path("/nonexistent/libpbs.so")))
    assert len(told) == 1
    assert "1.srv: no comment: /nonexistent/libpbs.so" in told[0]


@pytest.mark.parametrize("named", ["/opt/pbs/pbs.conf", ""])
def test_the_library_reads_the_pbs_conf_that_mom_was_started_with(named: str) -> None:
    """The shell plays MOM, which clears the environment of its scripts."""
    given = {**os.environ, **({"PBS_CONF_FILE": named} if named else {})}
    shell = f'env -u PBS_CONF_FILE {sys.executable} -c "$0"; exit'
    argv = ["/bin/sh", "-c", shell, _ASK]
    root = Path(__file__).resolve().parents[2]
    told = subprocess.run(argv, env=given, cwd=root, capture_output=True, text=True)
    assert (told.stdout.strip(), told.stderr) == (named or "None", "")


def test_an_image_that_would_not_come_back_is_told_in_the_comment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = samples.a_manifest(doubts=("/scratch/data is gone since",))
    told: list[str] = []
    monkeypatch.setattr(mom_checkpoint.settings, "load", Settings)
    monkeypatch.setattr(mom_checkpoint, "checkpoint", lambda request, chosen: made)
    monkeypatch.setattr(mom_checkpoint, "comment", lambda job, text, chosen: told.append(text))
    call = ActionCall(os.getpid(), "12.srv", "ann", Path("/nowhere"), "12.srv", False)
    mom_checkpoint._for_openpbs(call)
    made = made._replace(doubts=())
    mom_checkpoint._for_openpbs(call)
    assert told == ["a job restarted from it would not be as it was: /scratch/data is gone since"]
