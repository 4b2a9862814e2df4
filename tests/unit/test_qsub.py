# SPDX-License-Identifier: MIT
"""Whatever a site's qsub prints beside the job's id is shown, and the id is found all the same."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from torqueckpt.errors import NotSubmitted, PerhapsSubmitted
from torqueckpt.resubmit import resubmit


@pytest.fixture
def answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with what qsub does; what it was called with goes to the file `called`."""
    program = tmp_path / "qsub"
    program.write_text(f'#!/bin/sh\ncd {tmp_path}\necho "$@" >called\ncat >script\n. ./answer\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("PBS_O_PATH", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    return tmp_path / "answer"


def _submitted(answer: Path, does: str) -> tuple[str, list[str]]:
    answer.write_text(does)
    told: list[str] = []
    return resubmit.qsub("#PBS -N x\n", "3.srv", str(answer.parent), tell=told.append), told


@pytest.mark.parametrize(
    ("does", "new", "told"),
    [
        ("echo 12.srv", "12.srv", []),
        ("echo 'Hello ann'; echo; echo 12.srv", "12.srv", ["Hello ann"]),
        ("echo 12.srv; echo Good luck", "12.srv", ["Good luck"]),
        ("echo '  12[].srv.example.org:15001  '", "12[].srv.example.org:15001", []),
        ("echo from 11.srv; echo 11.srv; echo 12.srv", "12.srv", ["from 11.srv", "11.srv"]),
        ("echo 12.srv; echo 2026; echo 3.5", "12.srv", ["2026", "3.5"]),
        ("echo 12", "12", []),
        ("echo a notice >&2; echo 12.srv; echo another >&2", "12.srv", ["a notice", "another"]),
        ("printf 'x\\033[1my\\r\\n12.srv\\r\\n'", "12.srv", [r"x\x1b[1my"]),
    ],
)
def test_the_id_is_the_last_line_that_is_one(
    answer: Path, does: str, new: str, told: list[str]
) -> None:
    assert _submitted(answer, does) == (new, told)


def test_a_script_that_was_refused_was_not_submitted_and_all_that_was_said_is_shown(
    answer: Path,
) -> None:
    told: list[str] = []
    answer.write_text("echo checking; echo first >&2; echo 'qsub: no' >&2; exit 3")
    with pytest.raises(NotSubmitted, match="no resume job was submitted: qsub: no$"):
        resubmit.qsub("x", "3.srv", str(answer.parent), tell=told.append)
    assert told == ["checking", "first"]


@pytest.mark.parametrize(
    ("does", "why"),
    [
        ("echo done", "qsub named no job"),
        ("true", "qsub named no job"),
        ("echo 12.srv; echo 'mail failed' >&2; exit 1", "mail failed .*qsub named 12.srv"),
        ("echo 12.srv; kill -9 $$", "ended with -9 .*qsub named 12.srv"),
    ],
)
def test_where_nobody_knows_the_user_is_told_to_look_before_he_submits_again(
    answer: Path, does: str, why: str
) -> None:
    with pytest.raises(PerhapsSubmitted, match=f"look at qstat first: .*{why}"):
        _submitted(answer, does)


def test_a_mark_of_the_sites_own_is_not_looked_for_in_our_scripts(
    answer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PBS_DPREFIX", "#SITE")
    _submitted(answer, "echo 12.srv")
    assert (answer.parent / "called").read_text() == "-C #PBS\n"
