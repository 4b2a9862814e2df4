# SPDX-License-Identifier: MIT
"""A restart that dies while it brings files back, at any step: all is as it was afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from torqueckpt.files import rollback
from torqueckpt.records import FileChange
from torqueckpt.safe_files import Directory

_STEPS = ("ftruncate", "pwrite", "utime", "fsync", "unlink", "mkdir", "fchmod", "open")


class _Crash(BaseException):
    """What a SIGKILL would do to the program."""


@pytest.fixture
def lineage(tmp_path: Path) -> Iterator[Directory]:
    (tmp_path / "lineage" / "copies").mkdir(parents=True)
    (tmp_path / "lineage" / "copies" / "1.0").write_bytes(b"as it was at the freeze")
    with Directory.open((tmp_path / "lineage").resolve()) as opened:
        yield opened


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """Files that grew, was rewritten, was not there at the freeze; one that is gone by now."""
    where = tmp_path / "job"
    where.mkdir()
    (where / "grown").write_bytes(b"then, and since")
    (where / "rewritten").write_bytes(b"another content, longer than before")
    (where / "new").write_bytes(b"made since")
    (where / "new").chmod(0o640)
    for n, file in enumerate(sorted(where.iterdir())):
        os.utime(file, ns=(0, 1_600_000_000_000_000_000 + n))
    return where


def _change(path: Path, n: int, keep: int, copy: str = "", wanted: bool = True) -> FileChange:
    present = path.exists()
    status = os.stat(path) if present else os.stat(path.parent.parent)
    return FileChange(
        path=str(path),
        present=present,
        device=status.st_dev if present else 0,
        inode=status.st_ino if present else 0,
        size=status.st_size if present else 0,
        mode=status.st_mode & 0o777 if present else 0o644,
        mtime_ns=status.st_mtime_ns if present else 0,
        wanted=wanted,
        keep=keep,
        copy=copy,
        wanted_mtime_ns=1_500_000_000_000_000_000,
        tail=f"a1.{n}" if present else "",
    )


def _plan(job: Path) -> tuple[list[str], list[FileChange]]:
    return [str(job / "deep")], [
        _change(job / "grown", 0, 5),
        _change(job / "rewritten", 1, 0, "1.0"),
        _change(job / "new", 2, 0, wanted=False),
        _change(job / "deep" / "gone", 3, 0, "1.0"),
    ]


def _state(job: Path) -> dict[str, tuple[bytes, int, int]]:
    """Name → content, mode and time of change; for directories their names."""
    found = {}
    for each in sorted(job.rglob("*")):
        status = each.stat()
        if each.is_dir():
            found[each.name] = (b"", 0, 0)
        else:
            found[each.name] = (each.read_bytes(), status.st_mode, status.st_mtime_ns)
    return found


def _crashing(patch: pytest.MonkeyPatch, after: int) -> None:
    """Every step of ours but the first `after` ends the program, before or half way into it."""
    left = [after]

    def step(name: str) -> None:
        real = getattr(os, name)

        def stepped(*args: object, **options: object) -> object:
            if left[0] <= 0:
                if name == "pwrite":  # a part of it is written
                    real(args[0], args[1][:3], args[2])
                raise _Crash
            left[0] -= 1
            return real(*args, **options)

        patch.setattr(os, name, stepped)

    for name in _STEPS:
        step(name)


def test_files_are_as_they_were_at_the_freeze(job: Path, lineage: Directory) -> None:
    rollback.apply(lineage, *_plan(job))
    assert (job / "grown").read_bytes() == b"then,"
    assert (job / "rewritten").read_bytes() == b"as it was at the freeze"
    assert (job / "deep" / "gone").read_bytes() == b"as it was at the freeze"
    assert not (job / "new").exists()
    assert (job / "grown").stat().st_mtime_ns == 1_500_000_000_000_000_000
    kept = {each.read_bytes() for each in (lineage.path / "tails").iterdir()}
    assert kept == {b" and since", b"another content, longer than before", b"made since"}


def test_each_byte_that_is_copied_is_told_and_known_before(job: Path, lineage: Directory) -> None:
    told: list[int] = []
    plan = _plan(job)
    wanted = rollback.copied_by(lineage, plan[1])
    rollback.apply(lineage, *plan, told.append)
    assert sum(told) == wanted > 0


def test_undone_they_are_as_before_to_the_time_of_change(job: Path, lineage: Directory) -> None:
    before, plan = _state(job), _plan(job)
    rollback.apply(lineage, *plan)
    rollback.undo(lineage, *plan)
    assert _state(job) == before
    rollback.undo(lineage, *plan)
    assert _state(job) == before


def test_a_crash_at_any_step_of_it_and_of_undoing_it_loses_nothing(
    tmp_path: Path, job: Path, lineage: Directory
) -> None:
    before, plan = _state(job), _plan(job)
    crashes = 0
    for at in range(200):
        with pytest.MonkeyPatch.context() as patch:
            _crashing(patch, at)
            try:
                rollback.apply(lineage, *plan)
                finished = True
            except _Crash:
                finished, crashes = False, crashes + 1
        with pytest.MonkeyPatch.context() as patch:
            _crashing(patch, at * 7 % 23)
            try:
                rollback.undo(lineage, *plan)
            except _Crash:
                crashes += 1
        rollback.undo(lineage, *plan)
        assert _state(job) == before, f"crash at step {at}"
        plan = _plan(job)  # an inode may be another one
        if finished:
            break
    assert finished and crashes > 40


def test_a_file_that_somebody_went_on_with_is_not_touched(job: Path, lineage: Directory) -> None:
    plan = _plan(job)
    rollback.apply(lineage, *plan)
    with (job / "grown").open("ab") as file:
        file.write(b"XYZ")
    (job / "rewritten").unlink()
    (job / "rewritten").write_bytes(b"another file")
    (job / "deep" / "gone").write_bytes(b"in use")
    rollback.undo(lineage, *plan)
    assert (job / "grown").read_bytes() == b"then,XYZ"
    assert (job / "rewritten").read_bytes() == b"another file"
    assert (job / "deep" / "gone").read_bytes() == b"in use"
    assert (job / "new").read_bytes() == b"made since"


def test_a_file_written_to_since_it_was_looked_at_stops_the_restart(
    job: Path, lineage: Directory
) -> None:
    plan = _plan(job)
    with (job / "grown").open("ab") as file:
        file.write(b"XYZ")
    with pytest.raises(OSError, match="written to meanwhile"):
        rollback.apply(lineage, *plan)
    assert (job / "grown").read_bytes() == b"then, and sinceXYZ"


def test_a_link_that_took_the_place_of_a_file_is_not_followed(
    tmp_path: Path, job: Path, lineage: Directory
) -> None:
    plan = _plan(job)
    secret = tmp_path / "secret"
    secret.write_bytes(b"then, and since")
    (job / "grown").unlink()
    (job / "grown").symlink_to(secret)
    with pytest.raises(OSError):
        rollback.apply(lineage, *plan)
    rollback.undo(lineage, *plan)
    assert secret.read_bytes() == b"then, and since"


@pytest.mark.parametrize(
    "forged",
    [
        {"path": "/a\0b"},
        {"tail": "../../etc/passwd"},
        {"tail": ""},
        {"copy": "../1.0"},
        {"keep": -(1 << 70), "size": 10 - (1 << 70)},
        {"size": 1 << 70},
        {"mode": 1 << 70, "wanted": False},
        {"mtime_ns": 1 << 90},
    ],
)
def test_a_record_that_its_owner_has_changed_harms_nobody(
    job: Path, lineage: Directory, forged: dict[str, object]
) -> None:
    (lineage.path / "tails").mkdir()
    (lineage.path / "tails" / "a1.0").write_bytes(b" and since")
    change = _change(job / "grown", 0, 5)._replace(**forged)
    rollback.undo(lineage, ["/no/such\0directory"], [change])
