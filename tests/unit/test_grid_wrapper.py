# SPDX-License-Identifier: MIT
"""Real shells and perls run wrappers before and after: TERM calls fatal_error, or does not."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import LIMIT_SECONDS
from tests.unit.grid_wrappers import FILES, PERL, WRAPPER
from torqueckpt.batch.lsf import grid_wrapper
from torqueckpt.cli.main import main
from torqueckpt.errors import NoTermTrap

_OURS = {"TORQUECKPT_STARTER": "lsf"}
_FATAL = "fatal: Job has been terminated (got SIG{})"
_line = WRAPPER.splitlines()[4]


def _disarm(text: str) -> str:
    return grid_wrapper.disarm(text.encode(), "file").decode()


def _arm(text: str) -> str:
    return grid_wrapper.arm(text.encode(), "file").decode()


def _wrapper(text: str, place: Path) -> Path:
    """The wrapper itself, printed by `text` where that prints one."""
    program = place / "program"
    program.write_text(text)
    program.chmod(0o755)
    if text.startswith("#!/bin/bash"):
        return program
    said = subprocess.run([program], capture_output=True, text=True, check=True)
    assert said.stderr == ""
    wrapper = place / "wrapper"
    wrapper.write_text(said.stdout)
    wrapper.chmod(0o755)
    return wrapper


def _signalled(wrapper: Path, number: signal.Signals, **environment: str) -> tuple[int, str]:
    """How the wrapper ends after a signal, and what it said before."""
    running = subprocess.Popen(
        [wrapper],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **environment},
        start_new_session=True,
    )
    assert running.stdout is not None
    try:
        assert running.stdout.readline() == "ready\n"
        os.kill(running.pid, number)
        said = running.stdout.read()
        return running.wait(LIMIT_SECONDS), said
    finally:
        with suppress(ProcessLookupError):  # none of them is left
            os.killpg(running.pid, signal.SIGKILL)
        running.stdout.close()


@pytest.mark.parametrize("name", FILES)
def test_term_is_fatal_except_under_our_starter(name: str, tmp_path: Path) -> None:
    for directory, text in (("before", FILES[name]), ("after", _disarm(FILES[name]))):
        (tmp_path / directory).mkdir()
        wrapper = _wrapper(text, tmp_path / directory)
        for environment in ({}, {"TORQUECKPT_STARTER": "pbs"}, {"TORQUECKPT_STARTER": "lsf2"}):
            status, said = _signalled(wrapper, signal.SIGTERM, **environment)
            assert status == 3 and _FATAL.format("TERM") in said
        status, said = _signalled(wrapper, signal.SIGTERM, **_OURS)
        if directory == "before":
            assert status == 3
        else:  # the signal does what it does to a shell without a trap; nobody calls it fatal
            assert (status, said) == (-signal.SIGTERM, "")
        status, said = _signalled(wrapper, signal.SIGQUIT, **_OURS)
        assert status == 3 and _FATAL.format("QUIT") in said


@pytest.mark.parametrize("name", FILES)
def test_twice_is_once_and_undo_gives_the_bytes_back(name: str) -> None:
    changed = _disarm(FILES[name])
    assert changed != FILES[name] and _disarm(changed) == changed
    assert changed.count("\n") == FILES[name].count("\n")
    assert _arm(changed) == FILES[name] and _arm(FILES[name]) == FILES[name]


@given(st.binary(max_size=60), st.binary(max_size=60), st.sampled_from(["'", "\\'", "'\\''"]))
def test_any_bytes_around_it_come_back(before: bytes, after: bytes, quote: str) -> None:
    data = before + b"\n" + _line.replace("'", quote).encode() + b"\n" + after
    changed = grid_wrapper.disarm(data, "file")
    assert changed.startswith(before) and changed.endswith(after) and changed != data
    assert grid_wrapper.arm(changed, "file") == data


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "file: no line in it says"),
        ("#!/bin/sh\necho no wrapper\n", "file: no line in it says"),
        (WRAPPER.replace("SIGTERM", "SIGINT"), "file: no line in it says"),
        (WRAPPER.replace("trap", "#trap"), "file:5: it says so, but sets no trap"),
        (WRAPPER.replace("trap", "# old: trap"), "file:5: it says so"),
        (PERL.replace("trap 'fatal", "# trap 'fatal"), "file:17: it says so, but sets no trap"),
        (WRAPPER.replace("' TERM", "' TERM INT"), "file:5: it says so"),
        (WRAPPER.replace("' TERM", "' USR1"), "file:5: it says so"),
        (WRAPPER.replace("trap 'fatal_error", "trap 'warning"), "file:5: it says so"),
        (f"print qq|{_line}|;\n", "file:1: the trap stands between bars"),
        (f"\nsed -e 's|x|{_line}|'\n", "file:2: the trap stands between bars"),
    ],
)
def test_a_file_without_such_a_trap_is_refused_with_the_reason(text: str, told: str) -> None:
    with pytest.raises(NoTermTrap) as refused:
        _disarm(text)
    assert str(refused.value).startswith(told)
    assert str(refused.value).endswith("nothing was changed")


class _Files:
    def __init__(self, top: Path) -> None:
        self.wrapper, self.helper = top / "wrapper.sh", top / "submit-helper.pl"
        self.wrapper.write_text(WRAPPER)
        self.helper.write_text(PERL)
        self.helper.chmod(0o755)

    def call(self, *words: str) -> int:
        return main(["configure", "grid-wrapper", *words, str(self.wrapper), str(self.helper)])

    def texts(self) -> tuple[str, str]:
        return self.wrapper.read_text(), self.helper.read_text()


def test_check_diff_apply_and_undo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = _Files(tmp_path)
    assert files.call("--check") == 86
    told = capsys.readouterr()
    assert f"{files.wrapper}:5: SIGTERM calls fatal_error" in told.out
    assert files.call("--diff") == 0 and files.texts() == (WRAPPER, PERL)
    assert capsys.readouterr().out.count("\n+") == 4  # a line each, and the heads
    assert files.call("--apply") == 0 and files.texts() == (_disarm(WRAPPER), _disarm(PERL))
    assert files.helper.stat().st_mode & 0o777 == 0o755
    assert files.call("--check") == 0
    capsys.readouterr()
    assert files.call("--apply") == 0
    assert capsys.readouterr().out.count("nothing to change") == 2
    assert len(list(tmp_path.glob("*.torqueckpt-*"))) == 2
    assert files.call("--apply", "--undo") == 0 and files.texts() == (WRAPPER, PERL)


def test_one_file_that_is_none_leaves_the_others_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = _Files(tmp_path)
    files.helper.write_text("1;\n")
    assert files.call("--apply") == 79 and files.wrapper.read_text() == WRAPPER
    assert "submit-helper.pl: no line in it" in capsys.readouterr().err
    files.helper.unlink()
    assert files.call("--apply") == 79 and "no such file" in capsys.readouterr().err
