# SPDX-License-Identifier: MIT
"""Pointer directories of jobs that have ended go; all else in pointer_dir stays."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NamedTuple

import pytest

from torqueckpt.batch import pointer
from torqueckpt.ifl.errors import ConnectionClosed, UnknownJob
from torqueckpt.ifl.records import Job
from torqueckpt.images import pointers
from torqueckpt.safe_files import Directory
from torqueckpt.settings import Settings

_STATES = {"1.srv": "C", "2.srv": "H", "3.srv": "R", "12[3].srv": "R", "12[4].srv": "C"}


class _Server:
    server = "srv"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def job(self, job_id: str, attributes: object = (), *, ended: bool = False) -> Job:
        self.asked.append(job_id)
        if job_id == "99.srv":
            raise ConnectionClosed(server="srv")
        if job_id not in _STATES:
            raise UnknownJob(call="pbs_statjob", text="Unknown Job Id", number=15001)
        return Job(job_id, {"job_state": _STATES[job_id]})


def _place(top: Path, name: str, *files: str) -> Path:
    made = top / name
    made.mkdir()
    for each in files:
        pointer.write(made, each, "1.srv@1700000000", 7)
    return made


def _sweep(top: Path, server: object) -> tuple[list[str], list[str]]:
    told: list[str] = []
    return sorted(pointers.sweep(Settings(pointer_dir=top), server, told.append)), told  # type: ignore[arg-type]


def test_those_of_ended_jobs_go_and_those_that_may_be_wanted_stay(tmp_path: Path) -> None:
    for job in ("1.srv", "2.srv", "3.srv", "4.srv", "5.other", "12-3.srv", "12[3].srv", "12-4.srv"):
        _place(tmp_path, f"{job}.CK", f"ckpt.{job}.1", f"ckpt.{job}.2")
    _place(tmp_path, "6.srv.CK")  # MOM makes it; no checkpoint came
    (_place(tmp_path, "7.srv.CK.old") / "00000001").touch()  # OpenPBS's
    swept, told = _sweep(tmp_path, _Server())
    assert swept == ["1.srv.CK", "12-4.srv.CK", "4.srv.CK", "6.srv.CK", "7.srv.CK.old"]
    left = {"2.srv.CK", "3.srv.CK", "5.other.CK", "12-3.srv.CK", "12[3].srv.CK"}
    assert ({path.name for path in tmp_path.iterdir()}, told) == (left, [])


def test_what_is_not_ours_stays_whole(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    _place(tmp_path, "elsewhere", "ckpt.1")
    top = tmp_path / "pointers"
    top.mkdir()
    (top / "1.srv.CK").symlink_to(elsewhere)  # a link is no directory of MOM's
    (_place(top, "4.srv.CK", "ckpt.4.1") / "image").mkdir()  # a checkpoint of another kind
    (_place(top, "5.srv.CK", "ckpt.5.1") / "ckpt.5.2").write_text("an image")
    (_place(top, "6.srv.CK", "ckpt.6.1") / "ckpt.6.2").write_bytes(b"x" * 5000)
    (_place(top, "7.srv.CK", "ckpt.7.1") / "ckpt.7.2").symlink_to(elsewhere / "ckpt.1")
    os.mkfifo(_place(top, "8.srv.CK", "ckpt.8.1") / "ckpt.8.2")
    _place(top, "notes.CK", "ckpt.1")
    _place(top, "9.srv", "ckpt.1")
    (top / "10.srv.CK").touch()
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    assert _sweep(top, _Server()) == ([], [])
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before


def test_a_server_that_falls_silent_has_all_that_is_left_stay(tmp_path: Path) -> None:
    _place(tmp_path, "99.srv.CK", "ckpt.1")
    swept, told = _sweep(tmp_path, _Server())
    assert swept == [] and (tmp_path / "99.srv.CK/ckpt.1").exists()
    assert len(told) == 1 and told[0].startswith(f"pointers of uid {os.getuid()}: left out: ")


class _Mounted(NamedTuple):
    """What a user has mounted a file system of his own on: root may not look at it."""

    name: str

    def is_dir(self, *, follow_symlinks: bool) -> bool:
        return True

    def stat(self, *, follow_symlinks: bool) -> os.stat_result:
        raise PermissionError(errno.EACCES, "Permission denied")


def test_a_directory_that_root_may_not_look_at_keeps_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _place(tmp_path, "1.srv.CK", "ckpt.1")
    real = Directory.entries
    mounted = _Mounted("2.srv.CK")
    with_it = lambda self: [mounted, *real(self)] if self.path == tmp_path else real(self)  # noqa: E731
    monkeypatch.setattr(Directory, "entries", with_it)
    assert _sweep(tmp_path, _Server()) == (["1.srv.CK"], [])


def test_more_pointers_than_a_job_has_are_left(tmp_path: Path) -> None:
    place = _place(tmp_path, "1.srv.CK")
    for number in range(pointers._MOST + 1):
        (place / str(number)).touch()
    assert _sweep(tmp_path, _Server()) == ([], [])
    assert len(list(place.iterdir())) == pointers._MOST + 1


@pytest.mark.parametrize("name", ["..CK", ".CK", "1.srv.CK.new", "1.srv.ck", "a b.CK"])
def test_other_names_are_asked_about_by_nobody(tmp_path: Path, name: str) -> None:
    _place(tmp_path, name)
    server = _Server()
    assert _sweep(tmp_path, server) == ([], [])
    assert server.asked == []
