# SPDX-License-Identifier: MIT
"""torqueckpt configure and modules, as people call them: output, exit codes, error lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from torqueckpt import paths
from torqueckpt.cli.main import main
from torqueckpt.site import altix_modules


@pytest.fixture
def mom_priv(root: None, place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a node where everything is installed."""
    monkeypatch.setattr(paths, "program", lambda where, name: place / where / name)
    monkeypatch.setattr(paths, "settings_file", lambda: place / "torqueckpt.toml")
    (place / "torqueckpt.toml").write_text(f'pointer_dir = "{place}/pointers"\n')
    (place / "sbin").mkdir()
    for name in ("mom-checkpoint", "mom-restart", "mom-run"):
        (place / "sbin" / name).touch()
        (place / "sbin" / name).chmod(0o755)
    for name in ("pointers", "mom_priv"):
        (place / name).mkdir()
    (place / "mom_priv" / "config").write_bytes(b"$pbsserver\thead\r\n$loglevle 3\xfc")
    return place / "mom_priv"


def _call(mom_priv: Path, *words: str) -> int:
    return main(["configure", "torque", "--mom-priv", str(mom_priv), *words])


def test_without_an_option_the_result_is_shown_byte_for_byte(
    mom_priv: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert _call(mom_priv) == 0
    told = capfdbinary.readouterr()
    assert told.out.startswith(b"$pbsserver\thead\r\n$loglevle 3\xfc\n# BEGIN torqueckpt")
    assert told.err.count(b"\n") == 1 and b"did you mean $loglevel" in told.err
    assert b"BEGIN" not in (mom_priv / "config").read_bytes()


def test_check_ends_with_86_and_a_line_for_each_problem(
    mom_priv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _call(mom_priv, "--check") == 86
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 2 and "2 problem(s)" in told.err
    assert _call(mom_priv, "--apply") == 0
    assert _call(mom_priv, "--check") == 86  # the misspelt one is still there
    (mom_priv / "config").write_bytes(
        (mom_priv / "config").read_bytes().replace(b"$loglevle 3", b"")
    )
    capsys.readouterr()
    assert _call(mom_priv, "--check") == 0 and capsys.readouterr().out == ""


def test_apply_twice_writes_once(mom_priv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _call(mom_priv, "--apply", "--logevent", "255") == 0
    told = capsys.readouterr().out
    assert "written, the old one is" in told and "no pbs_mom runs here" in told
    before = (mom_priv / "config").stat().st_ino
    assert _call(mom_priv, "--apply") == 0
    assert "nothing to change" in capsys.readouterr().out
    assert (mom_priv / "config").stat().st_ino == before and len(list(mom_priv.iterdir())) == 2


def test_apply_says_why_it_does_not(mom_priv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (mom_priv / "config").write_bytes(b"$checkpoint_interval 5\n")
    assert _call(mom_priv, "--apply") == 86
    told = capsys.readouterr().err.splitlines()
    assert "config:1: $checkpoint_interval 5 contradicts" in told[0]
    assert told[-1].endswith("nothing was changed") and len(told) == 2


def test_diff_and_remove(mom_priv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _call(mom_priv, "--apply") == 0
    capsys.readouterr()
    assert _call(mom_priv, "--diff") == 0 and capsys.readouterr().out == ""
    assert _call(mom_priv, "--diff", "--remove") == 0
    assert "-# BEGIN torqueckpt" in capsys.readouterr().out
    assert _call(mom_priv, "--apply", "--remove") == 0
    assert (mom_priv / "config").read_bytes() == b"$pbsserver\thead\r\n$loglevle 3\xfc"


def test_output_writes_files_and_touches_nothing_else(
    mom_priv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (mom_priv / "config").read_bytes()
    out = mom_priv.parent / "out"
    assert _call(mom_priv, "--output", str(out), "--node", "n1:4", "--services", "pbs_mom") == 0
    assert (out / "server_priv" / "nodes").read_text() == "n1 np=4\n"
    assert str(out / "README") in capsys.readouterr().out.splitlines()
    assert (mom_priv / "config").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["--node", "n1:many", "--output", "/nowhere/x"], 2, "NAME:NP"),
        (["--pbsserver", "a#b"], 64, "cannot hold"),
        (["--output", "/proc/1/x"], 87, "nothing was changed"),
    ],
)
def test_misuse_is_told(
    mom_priv: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    status: int,
    told: str,
) -> None:
    assert _call(mom_priv, *words) == status
    assert told in capsys.readouterr().err


def test_a_mom_priv_that_is_not_there(mom_priv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _call(mom_priv / "none", "--check") == 84
    assert "name TORQUE's with --mom-priv DIR" in capsys.readouterr().err


def test_modules_tells_which_are_there(
    mom_priv: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    proc = mom_priv / "proc"
    proc.write_text("syscover 1 0 - Live 0x0\n")
    monkeypatch.setattr(altix_modules, "Kernel", lambda: _Kernel(proc))
    assert main(["modules", "status"]) == 3
    assert capsys.readouterr().out == "syscover: loaded\nckpt: not loaded\n"
    proc.write_text("syscover 1 0 - Live 0x0\nckpt 1 0 - Live 0x0\n")
    assert main(["modules", "status"]) == 0
    assert main(["modules", "load"]) == 88  # no modules_dir


_Kernel = altix_modules.Kernel
