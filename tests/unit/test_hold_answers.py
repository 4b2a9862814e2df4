# SPDX-License-Identifier: MIT
"""Releases of TORQUE that answer a hold with 15086 are known: by version, and by their program."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from torqueckpt.batch.torque import hold_answers


@pytest.mark.parametrize(
    ("version", "unclear"),
    [
        ("4.2.10", False),
        ("6.1.2.h3", False),
        ("6.1.3", False),
        ("6.1.3.h3", False),
        ("6.1.3.h4", True),
        ("6.1.3.h5", True),
        ("6.1.3.h10", True),
        ("6.1.3-1567_abcdef", False),
        ("6.1.4", True),
        ("6.1-dev", True),
        ("6.10.1", False),
        ("7.0.0", False),
        ("master", False),
        ("", False),
    ],
)
def test_the_version_tells(version: str, unclear: bool) -> None:
    assert hold_answers.of_version(version) is unclear


def test_the_program_that_runs_here_knows_better_than_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "pbs_server"
    for text, has in ((b"\x7fELF" + bytes(5000), False), (b"a\0validate_jobid_to_socket\0", True)):
        program.write_bytes(text)
        assert hold_answers._has_check(str(program)) is has
    assert hold_answers._has_check(str(tmp_path / "gone")) is None
    program.write_bytes(b"")
    assert hold_answers._has_check(str(program)) is None

    monkeypatch.setattr(hold_answers, "running", lambda name: 0)
    assert hold_answers.unclear("6.1-dev") and not hold_answers.unclear("6.1.3")
    monkeypatch.setattr(hold_answers, "_has_check", lambda path: path == sys.argv[0])
    monkeypatch.setattr(hold_answers, "running", lambda name: 1)
    assert not hold_answers.unclear("6.1-dev")
