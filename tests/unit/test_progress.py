# SPDX-License-Identifier: MIT
"""Progress is for people who wait at a terminal: nothing of it gets into pipes and logs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import LIMIT_SECONDS
from tests.unit import samples
from torqueckpt import settings
from torqueckpt.cli import progress
from torqueckpt.cli.main import main
from torqueckpt.identity import Owner
from torqueckpt.process import privileges
from torqueckpt.settings import Settings
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import OwnerStore

_READ = """
import time
from torqueckpt.cli import progress
progress.PATIENCE_SECONDS = {patience}
with progress.shown("{what}", 8 << 20) as read:
    for _ in range({pieces}):
        time.sleep(0.3)
        read(1 << 20)
print("done")
"""


def _on_a_terminal(
    pieces: int,
    what: str = "verify 12.node1",
    columns: int = 100,
    patience: float = progress.PATIENCE_SECONDS,
) -> str:
    code = _READ.format(pieces=pieces, what=what, patience=patience)
    done = subprocess.run(
        ["/usr/bin/script", "-qec", f"{sys.executable} -c '{code}'", "/dev/null"],
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        env={"TERM": "xterm-256color", "COLUMNS": str(columns)},
    )
    return done.stdout


def test_what_takes_long_tells_bytes_rate_and_remaining_time_on_a_terminal() -> None:
    shown = _on_a_terminal(6)
    assert "verify 12.node1" in shown and "/8.0 MiB" in shown
    assert "MiB/s" in shown and "0:00:0" in shown
    assert "done" in shown


def test_a_long_job_id_is_cut_off_and_the_line_stays_one_of_80_columns() -> None:
    shown = _on_a_terminal(6, "verify 1234567[12].headnode.cluster.example.org", columns=80)
    drawn = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in re.split(r"[\r\n]+", shown)]
    bars = [line for line in drawn if "MiB" in line]
    assert bars and all(line.startswith("verify 1234567[12].") for line in bars)
    assert all("/8.0 MiB" in line and len(line.rstrip()) <= 80 for line in bars)
    assert "MiB/s" in bars[-1] and "0:00:0" in bars[-1]


def test_what_takes_less_than_a_second_tells_nothing() -> None:
    assert progress.PATIENCE_SECONDS == 1
    assert _on_a_terminal(2, patience=LIMIT_SECONDS).split() == ["done"]


def test_a_pipe_gets_nothing_of_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _READ.format(pieces=6, what="verify 12.node1", patience=1)],
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
    )
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_verify_tells_every_byte_that_it_reads(
    lineage: Lineage,
    owner_store: OwnerStore,
    user: Owner,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with privileges.acting_as(user):
        for size in (10, 5_000_000):
            samples.generation(lineage, {"pages-1.img": b"x" * size, "core-1.img": b"y"})
    monkeypatch.setattr(settings, "load", lambda: Settings(store=owner_store.path.parent.parent))
    monkeypatch.setattr(progress, "PATIENCE_SECONDS", 0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")  # rich takes it for a terminal
    monkeypatch.setenv("TERM", "xterm")
    assert main(["verify", samples.JOB]) == 0
    told = capsys.readouterr()
    assert told.out.count(": whole\n") == 2
    assert "100%" in told.err or "5.0/5.0 MB" in told.err or "4.8/4.8 MiB" in told.err


def test_the_image_that_another_program_makes_is_seen_growing(
    lineage: Lineage, owner_store: OwnerStore, user: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with privileges.acting_as(user):
        samples.generation(lineage, {"pages-1.img": b"x" * 1000})
    told: list[int] = []
    monkeypatch.setattr(progress, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(progress.ownership, "caller", lambda: user)
    monkeypatch.setattr(progress, "_is_root", lambda: False)
    monkeypatch.setattr(progress.Progress, "advance", lambda _self, _task, n: told.append(n))
    chosen = Settings(store=owner_store.path.parent.parent)
    partial: Path = lineage.path / "2.partial" / "image"
    with progress.of_the_image("checkpoint 12.node1", samples.JOB, chosen):
        partial.mkdir(parents=True)
        for name in ("pages-1.img", "core-1.img"):
            (partial / name).write_bytes(b"z" * 700)
            subprocess.run(["/bin/sleep", "0.2"], check=True)
    assert sum(told) == 1400
