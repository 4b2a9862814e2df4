# SPDX-License-Identifier: MIT
"""What a failed restore has left is told from what was there, and from what came meanwhile."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from torqueckpt.files import leftovers
from torqueckpt.manifest import DIRECTORY, FILE, SOCKET, UNLINKED_SOCKET, Made
from torqueckpt.records import Leftover

_MTIME_US = 1_700_000_000_123_456


def _deleted(path: Path) -> Made:
    return Made(str(path), FILE, "1a", 0o100644, _MTIME_US)


def _ghost(path: Path) -> Path:
    """As CRIU makes it, with the times that the file had."""
    path.write_bytes(b"content")
    path.chmod(0o644)
    os.utime(path, ns=(_MTIME_US * 1000, _MTIME_US * 1000))
    return path


def test_what_was_there_before_is_never_expected(tmp_path: Path) -> None:
    for name in ("data", "data.cr_link", "data.cr.1a.ghost", "dir", "ear", "ear.criu-sk-ghost"):
        (tmp_path / name).mkdir()
    made = [_deleted(tmp_path / "data"), Made(str(tmp_path / "dir"), DIRECTORY)]
    assert leftovers.expected([*made, Made(str(tmp_path / "ear"), UNLINKED_SOCKET)]) == ()


def test_all_names_of_a_deleted_file_go_whatever_the_restore_had_come_to(tmp_path: Path) -> None:
    file = tmp_path / "one" / "below" / "data"
    planned = leftovers.expected([_deleted(file)])
    for links in ((), ("data",), ("data", "data.cr_link")):
        file.parent.mkdir(parents=True)
        for place in (tmp_path, file.parent):
            ghost = _ghost(place / "data.cr.1a.ghost")
        for link in links:
            os.link(ghost, file.parent / link)
        leftovers.remove(planned)
        assert list(tmp_path.iterdir()) == []
    file.parent.mkdir(parents=True)
    _ghost(file)  # its ghost is gone already
    leftovers.remove(planned)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ghost", [True, False])
def test_what_came_meanwhile_under_such_a_name_stays(tmp_path: Path, ghost: bool) -> None:
    file = tmp_path / "data"
    planned = leftovers.expected([_deleted(file)])
    if ghost:
        _ghost(tmp_path / "data.cr.1a.ghost")
    for each in (file, tmp_path / "data.cr_link"):
        each.write_text("the user's own")
    leftovers.remove(planned)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["data", "data.cr_link"]


def test_a_directory_with_something_in_it_stays(tmp_path: Path) -> None:
    planned = leftovers.expected([Made(str(tmp_path / "one" / "two"), DIRECTORY)])
    (tmp_path / "one" / "two").mkdir(parents=True)
    (tmp_path / "one" / "mine").touch()
    leftovers.remove(planned)
    assert [each.name for each in (tmp_path / "one").iterdir()] == ["mine"]


def test_a_dead_socket_goes_one_that_is_bound_stays_and_one_put_aside_comes_back(
    tmp_path: Path,
) -> None:
    made = [Made(str(tmp_path / "ear"), SOCKET), Made(str(tmp_path / "gone"), UNLINKED_SOCKET)]
    planned = leftovers.expected(made)
    (tmp_path / "gone.criu-sk-ghost").touch()  # what was at the unlinked one's path
    with socket.socket(socket.AF_UNIX) as ear, socket.socket(socket.AF_UNIX) as other:
        ear.bind(str(tmp_path / "ear"))
        other.bind(str(tmp_path / "gone"))
        assert len(list(leftovers.in_the_way(made))) == 2
        leftovers.remove(planned)
        assert (tmp_path / "ear").is_socket() and (tmp_path / "gone").is_socket()
    assert list(leftovers.in_the_way(made)) == []
    leftovers.remove(planned)
    assert [each.name for each in tmp_path.iterdir()] == ["gone"]
    assert (tmp_path / "gone").is_file()


def test_only_what_a_restore_would_fail_by_is_in_the_way(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.touch()
    assert list(leftovers.in_the_way([_deleted(file)])) == []
    (tmp_path / "data.cr_link").touch()
    (tmp_path / "data.cr.1a.ghost").touch()
    told = list(leftovers.in_the_way([_deleted(file)]))
    assert told == [f"{file}.cr.1a.ghost is in the way", f"{file}.cr_link is in the way"]


@pytest.mark.parametrize("path", ["", "relative", "a/b", "\0", "/tmp/\0", "//", "/" + "x/" * 5000])
@pytest.mark.parametrize("kind", [FILE, DIRECTORY, SOCKET, UNLINKED_SOCKET, "other"])
def test_a_path_of_its_owners_choice_does_no_harm(path: str, kind: str) -> None:
    made = [Made(path, kind, "1", 0, 0)]
    list(leftovers.in_the_way(made))
    leftovers.remove(leftovers.expected(made))
    leftovers.remove([Leftover(path, kind, path, 0, 0)])
