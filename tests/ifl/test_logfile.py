# SPDX-License-Identifier: MIT
"""TORQUE's log functions, without TORQUE."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

LINE = re.compile(r"\d\d/\d\d/\d{4} \d\d:\d\d:\d\d;([0-9a-f]{4});(.{10});([\w/]+);([^;]*);(.*)")


@pytest.fixture
def pbs(import_pbs: Callable[[str], ModuleType]) -> ModuleType:
    loaded = import_pbs("torque6")
    loaded.cvar.msg_daemonname = "mon"
    return loaded


def lines(path: Path) -> list[tuple[str, ...]]:
    found = []
    for line in path.read_text().splitlines():
        match = LINE.fullmatch(line)
        assert match, line
        found.append(match.groups())
    return found


def test_lines_are_torques(pbs: ModuleType, tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert pbs.log_open(str(log), str(tmp_path)) == 0
    assert pbs.log_open(str(log), str(tmp_path)) == -1, "open already"
    pbs.log_record(pbs.PBSEVENT_JOB, pbs.PBS_EVENTCLASS_JOB, "1.srv", "one\r\ntwo")
    pbs.log_err(15001, "here", "it failed")
    pbs.log_err(2, "here", "no file")
    pbs.log_ext(-1, "here", "just so", pbs.LOG_NOTICE)
    assert pbs.log_available(pbs.PBSEVENT_JOB) == 1
    pbs.log_close(1)
    assert lines(log) == [
        ("0002", "       mon", "Svr", "Log", "Log opened"),
        ("0008", "       mon", "Job", "1.srv", "one"),
        ("0008", "       mon", "Job", "1.srv", "[continued]two"),
        ("0001", "       mon", "Svr", "mon", "LOG_ERROR::Unknown Job (15001) in here, it failed"),
        ("0001", "       mon", "Svr", "mon", f"LOG_ERROR::{os.strerror(2)} (2) in here, no file"),
        ("0001", "       mon", "Svr", "mon", "LOG_NOTICE::here, just so"),
        ("0002", "       mon", "Svr", "Log", "Log closed"),
    ]
    pbs.log_record(1, 1, "x", "after it is closed")
    assert pbs.log_size() == 0


def test_events_that_are_not_wanted_are_left_out(pbs: ModuleType, tmp_path: Path) -> None:
    log = tmp_path / "log"
    pbs.log_open(str(log), str(tmp_path))
    pbs.cvar.log_event_mask = pbs.PBSEVENT_JOB
    pbs.log_event(pbs.PBSEVENT_DEBUG, pbs.PBS_EVENTCLASS_JOB, "1", "no")
    pbs.log_event(pbs.PBSEVENT_JOB, pbs.PBS_EVENTCLASS_JOB, "1", "yes")
    pbs.log_event(pbs.PBSEVENT_FORCE, pbs.PBS_EVENTCLASS_JOB, "1", "forced")
    pbs.log_close(0)
    assert [line[-1] for line in lines(log)] == ["Log opened", "yes", "forced"]


def test_a_log_per_day_with_a_suffix(pbs: ModuleType, tmp_path: Path) -> None:
    pbs.log_init("%h", "node7")
    assert pbs.log_open(None, str(tmp_path)) == 0
    pbs.log_close(0)
    assert (tmp_path / f"{time.strftime('%Y%m%d')}.node7").exists()
    assert pbs.log_open("relative", str(tmp_path)) == -1
    assert pbs.log_open(str(tmp_path / "no" / "log"), str(tmp_path)) == -1


def test_rolling_keeps_so_many(pbs: ModuleType, tmp_path: Path) -> None:
    log = tmp_path / "log"
    pbs.log_open(str(log), str(tmp_path))
    for number in range(4):
        pbs.log_record(1, 1, "x", f"round {number}" + "." * 2048)
        assert pbs.log_size() >= 2
        pbs.log_roll(2)
    pbs.log_close(0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1", "log.2"]
    assert "round 3" in (tmp_path / "log.1").read_text()


def test_old_logs_go(pbs: ModuleType, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.touch()
    new.touch()
    os.utime(old, (1, 1))
    assert pbs.log_remove_old(str(tmp_path), 0) == 0
    assert old.exists()
    assert pbs.log_remove_old(str(tmp_path), 3600) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert pbs.log_remove_old("", 1) == -1
    assert pbs.log_remove_old(str(tmp_path / "none"), 1) == -1
