# SPDX-License-Identifier: MIT
"""The job's files at a restart: all that is wrong is found, and nothing is changed by looking."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit import samples
from torqueckpt.files import check, content, relocate
from torqueckpt.files.check import Findings
from torqueckpt.identity import Owner
from torqueckpt.manifest import Manifest, OpenFile, Process, Rule, WatchedFile
from torqueckpt.process import privileges
from torqueckpt.safe_files import Directory

_APPEND = os.O_WRONLY | os.O_APPEND


@pytest.fixture
def lineage(tmp_path: Path) -> Iterator[Directory]:
    (tmp_path / "lineage" / "copies").mkdir(parents=True)
    with Directory.open((tmp_path / "lineage").resolve()) as opened:
        yield opened


def _file(path: Path, data: bytes) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def _watched(path: Path, policy: str = "rollback", copy: str = "") -> WatchedFile:
    """As a checkpoint would record the file now."""
    fd = os.open(path, os.O_RDONLY)
    status = os.fstat(fd)
    blocks = content.samples(fd, status.st_size)
    os.close(fd)
    return WatchedFile(
        *(str(path), policy, status.st_dev, status.st_ino, 0o644, status.st_size),
        *(status.st_mtime_ns, status.st_ctime_ns, False, blocks, copy),
    )


def _open_file(path: Path, size: int, **changes: Any) -> OpenFile:
    return samples.open_file(path, size=size, **changes)


def _find(lineage: Directory, **parts: Any) -> Findings:
    nothing = {"files": (), "watched": (), "rules": (), "processes": ()}
    manifest: Manifest = samples.a_manifest(**{**nothing, **parts})
    return check.find(manifest, lineage, set(), "a1", str(lineage.path))


def test_files_as_they_were_need_nothing(tmp_path: Path, lineage: Directory) -> None:
    data = _file(tmp_path / "data", b"0123")
    found = _find(lineage, files=(_open_file(data, 4),), watched=(_watched(data),))
    assert vars(found) == vars(Findings())


def test_a_file_that_grew_is_to_be_cut_and_one_rewritten_in_place_is_said(
    tmp_path: Path, lineage: Directory
) -> None:
    grown, rewritten = _file(tmp_path / "grown", b"0123"), _file(tmp_path / "re", b"0123")
    watched = (_watched(grown), _watched(rewritten))
    grown.write_bytes(b"0123456")
    rewritten.write_bytes(b"0X23")
    found = _find(lineage, watched=watched)
    assert [(each.path, each.keep, each.size) for each in found.changes] == [(str(grown), 4, 7)]
    assert found.changed == [f"{rewritten} was rewritten in place since"]
    assert grown.read_bytes() == b"0123456"


def test_a_log_that_was_renamed_and_begun_anew_is_said_to_be_another_file(
    tmp_path: Path, lineage: Directory
) -> None:
    log = _file(tmp_path / "log", b"0123")
    watched = (_watched(log),)
    log.rename(tmp_path / "log.1")
    log.write_bytes(b"4567")
    told = f"{log} was replaced by another file since"
    assert _find(lineage, watched=watched).changed == [told]
    log.unlink()
    log.write_bytes(b"0123")  # as from a backup
    assert vars(_find(lineage, watched=watched)) == vars(Findings())


def test_a_file_that_was_changed_and_has_grown_is_not_cut(
    tmp_path: Path, lineage: Directory
) -> None:
    """A database that other jobs go on with: cutting it would be the end of it."""
    base = _file(tmp_path / "base", b"0123")
    parts = {"watched": (_watched(base),), "files": (_open_file(base, 4, flags=os.O_RDWR),)}
    base.write_bytes(b"0X23456")
    found = _find(lineage, **parts)
    assert found.changed == [f"{base} was rewritten in place since"]
    assert (found.changes, found.positions) == ([], {str(base): check.AS_IT_WAS})


def test_a_large_file_is_sampled_and_a_later_time_of_change_is_said(
    tmp_path: Path, lineage: Directory
) -> None:
    large = _file(tmp_path / "large", bytes(3 << 20))
    watched = _watched(large)
    assert not content.covers(watched.blocks, watched.size)
    for at, told in ((0, "rewritten in place"), ((3 << 20) - 1, "rewritten in place")):
        with large.open("r+b") as file:
            file.seek(at)
            file.write(b"x")
        assert told in _find(lineage, watched=(watched,)).changed[0]
        with large.open("r+b") as file:
            file.seek(at)
            file.write(b"\0")
    os.utime(large, ns=(0, watched.mtime_ns + 1))
    assert "its size being the same" in _find(lineage, watched=(watched,)).changed[0]
    os.utime(large, ns=(0, watched.mtime_ns))
    assert vars(_find(lineage, watched=(watched,))) == vars(Findings())


def test_a_file_with_a_copy_is_put_back_however_it_is_now(
    tmp_path: Path, lineage: Directory
) -> None:
    gone, other = _file(tmp_path / "d" / "gone", b"0123"), _file(tmp_path / "other", b"0123")
    same = _file(tmp_path / "same", b"0123")
    _file(lineage.path / "copies" / "1.0", b"0123")
    watched = tuple(_watched(each, "snapshot", "1.0") for each in (gone, other, same))
    gone.unlink()
    (tmp_path / "d").rmdir()
    other.write_bytes(b"X")
    found = _find(lineage, watched=watched)
    assert [(each.path, each.present, each.copy) for each in found.changes] == [
        (str(gone), False, "1.0"),
        (str(other), True, "1.0"),
    ]
    assert found.directories == [str(tmp_path / "d")]
    assert not (tmp_path / "d").exists()


def test_each_byte_that_is_compared_with_a_copy_is_told_and_known_before(
    tmp_path: Path, lineage: Directory
) -> None:
    data = _file(tmp_path / "data", bytes(2_000_000))
    _file(lineage.path / "copies" / "1.0", bytes(2_000_000))
    nothing: dict[str, Any] = {"files": (), "rules": (), "processes": ()}
    manifest = samples.a_manifest(watched=(_watched(data, "snapshot", "1.0"),), **nothing)
    told: list[int] = []
    found = check.find(manifest, lineage, set(), "a1", str(lineage.path), told.append)
    assert vars(found) == vars(Findings())
    assert sum(told) == check.compared(manifest) == 2_000_000


def test_a_copy_that_is_damaged_or_lost_is_as_none(tmp_path: Path, lineage: Directory) -> None:
    data = _file(tmp_path / "data", b"0123")
    watched = (_watched(data, "snapshot", "1.0"),)
    data.write_bytes(b"4567")
    for put in (lambda: None, lambda: _file(lineage.path / "copies" / "1.0", b"0X23")):
        put()
        found = _find(lineage, watched=watched)
        assert found.changed == [f"{data} was rewritten in place since"]
        assert found.changes == []


def test_new_files_that_a_rule_names_are_to_go_if_all_were_known(
    tmp_path: Path, lineage: Directory
) -> None:
    old = _file(tmp_path / "d" / "old", b"0123")
    watched = (_watched(old),)
    new, kept = _file(tmp_path / "d" / "new", b"x"), _file(tmp_path / "d" / "keep", b"x")
    (tmp_path / "d" / "link").symlink_to(kept)
    for complete, wanted in ((True, [str(new)]), (False, [])):
        rules = (
            Rule(f"{tmp_path}/d/keep", "ignore", True),
            Rule(f"{tmp_path}/d/*", "rollback", complete),
        )
        found = _find(lineage, watched=watched, rules=rules)
        assert [each.path for each in found.changes if not each.wanted] == wanted


def test_a_rule_that_covers_the_store_takes_no_image_away(
    tmp_path: Path, lineage: Directory
) -> None:
    _file(lineage.path / "1" / "pages-1.img", b"the only image")
    new = _file(tmp_path / "d" / "new", b"x")
    found = _find(lineage, rules=(Rule(f"{tmp_path}/**", "rollback", True),))
    assert [each.path for each in found.changes] == [str(new)]


def test_all_that_is_missing_is_told_with_where_it_must_have_gone(
    tmp_path: Path, lineage: Directory
) -> None:
    here = _file(tmp_path / "here", b"")
    os.mkfifo(tmp_path / "fifo")
    names = (tmp_path / "d" / "e" / "a", tmp_path / "d" / "b", here / "x", tmp_path / "fifo")
    found = _find(
        lineage,
        files=tuple(_open_file(each, 0, flags=_APPEND) for each in names),
        processes=(Process(1, 0, "sh", str(tmp_path / "d" / "e")),),
    )
    assert found.missing == [str(names[0]), str(names[1]), str(tmp_path / "d" / "e")]
    assert found.moved_away() == [str(tmp_path / "d")]
    assert found.wrong == [
        f"{names[2]} cannot be reached (Not a directory)",
        f"{names[3]} is no regular file any more",
    ]


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_RDWR | os.O_APPEND])
def test_a_file_that_is_only_read_must_be_as_long_as_it_was(
    tmp_path: Path, lineage: Directory, flags: int
) -> None:
    data = _file(tmp_path / "data", b"0123")
    found = _find(lineage, files=(_open_file(data, 3, flags=flags),))
    assert found.changed == [f"{data} has 4 bytes, 3 at the checkpoint"]
    assert found.positions == {str(data): check.AS_IT_WAS}


def test_files_open_only_for_appending_deleted_ones_and_those_handed_over_are_left_out(
    tmp_path: Path, lineage: Directory
) -> None:
    log = _file(tmp_path / "log", b"0123")
    files = (
        _open_file(log, 99, flags=_APPEND),
        _open_file(tmp_path / "deleted", 1, deleted=True),
    )
    assert vars(_find(lineage, files=files)) == vars(Findings())
    spooled = samples.a_manifest(
        files=(_open_file(tmp_path / "12.OU", 1),), watched=(), processes=()
    )
    assert vars(check.find(spooled, lineage, {str(tmp_path / "12.OU")}, "a1", "/s")) == vars(
        Findings()
    )


def test_a_file_that_the_policy_leaves_alone_may_have_any_size(
    tmp_path: Path, lineage: Directory
) -> None:
    log = _file(tmp_path / "log", b"0123")
    for policy, position in (("append", 7), ("ignore", check.AS_IT_WAS)):
        log.write_bytes(b"0123")
        watched = (_watched(log, policy),)
        log.write_bytes(b"0123456")
        found = _find(lineage, files=(_open_file(log, 4),), watched=watched)
        assert vars(found) == {**vars(Findings()), "positions": {str(log): position}}


def test_a_file_that_its_owner_may_not_write_any_more_is_said_before_anything_is_changed(
    user: Owner, place: Path
) -> None:
    data = _file(place / "data", b"0123")
    data.chmod(0o644)  # root's
    watched = (_watched(data),)
    data.write_bytes(b"01234567")
    with privileges.acting_as(user), Directory.open(place) as lineage:
        found = _find(lineage, watched=watched)
    assert found.wrong == [f"{data} is to be rolled back, {data} is write-protected"]


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path, lineage: Directory) -> None:
    data = _file(tmp_path / "data", b"0123")
    watched = (_watched(data),)
    data.rename(tmp_path / "moved")
    data.symlink_to(tmp_path / "moved")
    assert _find(lineage, watched=watched).wrong == [f"{data}: is no regular file"]


def test_names_below_a_moved_directory_are_those_of_now() -> None:
    moves = relocate.parse(["/home/ann/relax=/new", "/home=/elsewhere/"])
    manifest = relocate.relocated(samples.a_manifest(), moves, set())
    assert {manifest.files[0].path, manifest.watched[0].path} == {"/new/traj"}
    assert manifest.processes[0].cwd == "/new" and manifest.rules[0].glob == "/new/log*"
    assert relocate.moved("/home/ann/relaxed", moves) == "/elsewhere/ann/relaxed"
    assert relocate.relocated(samples.a_manifest(), moves, {"/home/ann/relax/traj"}).files[
        0
    ].path == ("/home/ann/relax/traj")


@pytest.mark.parametrize("item", ["/old", "old=/new", "/old=new", ""])
def test_a_move_that_is_not_two_absolute_paths_is_refused(item: str) -> None:
    with pytest.raises(ValueError, match="OLD=NEW"):
        relocate.parse([item])


def test_a_file_of_a_process_that_is_to_come_is_not_missing(lineage: Directory) -> None:
    gone = _open_file(Path("/proc/4242/status"), 0, flags=os.O_RDONLY)
    assert vars(_find(lineage, files=(gone,))) == vars(Findings())
