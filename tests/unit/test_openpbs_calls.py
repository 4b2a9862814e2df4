# SPDX-License-Identifier: MIT
"""OpenPBS's calls, with the words that our own configuration has it pass."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from torqueckpt.batch.openpbs import mom_config
from torqueckpt.batch.openpbs.calls import ActionCall
from torqueckpt.errors import BadArguments, InvalidJobId

_PATH = "/var/spool/checkpoint-pointers/12.srv.CK/00000001"
_CALL = ["openpbs", "4241", "12.srv", "ann", "1", _PATH]


def test_the_words_are_those_that_the_configuration_writes() -> None:
    lines = mom_config.block(Path("/usr/local/sbin"), Path("/var/spool/x"), 60)
    calls = [value.partition("!")[2].split() for name, value in lines if name == "action"]
    values = dict(zip(("%sid", "%jobid", "%login", "%taskid", "%path"), _CALL[1:]))
    said = [[values.get(word, word) for word in words[1:]] for words in calls]
    assert [ActionCall.checkpoint(words).end for words in said[:2]] == [False, True]
    assert ActionCall.restart(said[2]).job_id == "12.srv"


def test_a_checkpoint_leaves_its_pointer_where_mom_looks_for_the_image() -> None:
    request = ActionCall.checkpoint([*_CALL, "15"]).to_checkpoint()
    assert (request.pointer_dir, request.name) == (Path(_PATH).parent, "00000001")
    assert (request.end, request.pointer_by_root, request.named_once) == (True, True, False)


def test_a_restart_after_a_hold_has_a_negative_session_id() -> None:
    call = ActionCall.restart(["openpbs", "-17494", *_CALL[2:]])
    assert call.to_restart(3).hint == 3


@pytest.mark.parametrize(
    ("index", "word"),
    [(1, "-5"), (1, "x"), (1, "1"), (4, "2"), (4, "x"), (5, "relative"), (5, "/a/../b"), (5, "/")],
)
def test_anything_else_is_refused(index: int, word: str) -> None:
    argv = [*_CALL, "0"]
    argv[index] = word
    with pytest.raises(BadArguments):
        ActionCall.checkpoint(argv)


def test_several_tasks_are_refused_with_the_reason() -> None:
    with pytest.raises(BadArguments, match="several tasks"):
        ActionCall.checkpoint(["openpbs", "4241", "12.srv", "ann", "00000002", _PATH, "0"])


@pytest.mark.parametrize("argv", [_CALL, [*_CALL, "1"], [*_CALL, "0", "0"], ["openpbs"]])
def test_a_call_of_another_length_is_refused(argv: list[str]) -> None:
    with pytest.raises(BadArguments):
        ActionCall.checkpoint(argv)
    with pytest.raises(BadArguments):
        ActionCall.restart([*argv, "x", "y"])


def test_what_is_no_job_id_is_refused() -> None:
    with pytest.raises(InvalidJobId):
        ActionCall.restart(["openpbs", "1", "../x", "ann", "1", _PATH])


def test_a_hook_whose_descriptors_are_closed_opens_nothing_as_stdin() -> None:
    script = (
        "import os\nfrom torqueckpt.hooks import entry\n"
        "def look():\n"
        "    got = {os.readlink(f'/proc/self/fd/{n}') for n in (0, 1, 2)}\n"
        "    return 0 if got == {'/dev/null'} else 3\n"
        "raise SystemExit(entry.run_hook('test', look))"
    )
    shell = 'exec "$0" -c "$1" 0<&- 1>&- 2>&-'
    argv = ["/bin/sh", "-c", shell, sys.executable, script]
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run(argv, cwd=root, env={**os.environ, "LC_ALL": "C"}).returncode == 0
