# SPDX-License-Identifier: MIT
"""A file whose opened name is gone is found again by another name, and nothing else is taken."""

from __future__ import annotations

import mmap
import os
import socket
from pathlib import Path

import pytest

from torqueckpt.process import other_names, proc, sockets
from torqueckpt.process.other_names import OtherName

_ROW = b"7f12-7f13 rw-s 00000000 00:3e 2                          /dev/shm/sem.qrtMpA (deleted)\n"


@pytest.mark.parametrize(
    ("row", "path"),
    [
        (_ROW, "/dev/shm/sem.qrtMpA"),
        (_ROW.replace(b"sem.qrtMpA", b"a b (deleted)\\012c"), "/dev/shm/a b (deleted)\nc"),
        (_ROW.replace(b"sem.qrtMpA", b"caf\xe9"), "/dev/shm/caf\udce9"),
        (_ROW.replace(b" (deleted)", b""), ""),
        (_ROW.replace(b"/dev/shm/sem.qrtMpA", b"/memfd:x"), ""),
        (_ROW.replace(b"/dev/shm/sem.qrtMpA", b"/SYSV00000000"), ""),
        (_ROW.replace(b"/dev/shm/sem.qrtMpA", b"/dev/zero"), ""),
        (b"7f12-7f13 rw-s 00000000 00:3e\n", ""),
        (b"", ""),
    ],
)
def test_a_row_of_maps_tells_which_file_has_lost_its_name(row: bytes, path: str) -> None:
    found = list(other_names.mapped(1, [row, row]))
    assert [each.path for each in found] == ([path] if path else [])
    if path:
        assert found[0][2:] == (os.makedev(0, 0x3E), 2, -1)


def test_a_file_open_or_mapped_by_a_name_that_is_gone_is_found_by_another(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"some{number}").write_bytes(bytes(8192))
    with open(tmp_path / "some1", "rb+") as file:
        status = os.fstat(file.fileno())
        area = mmap.mmap(file.fileno(), 8192)
        os.link(tmp_path / "some1", tmp_path / "other")
        (tmp_path / "some1").unlink()
        links = [(os.getpid(), file.fileno(), os.readlink(f"/proc/self/fd/{file.fileno()}"))]
        (gone,) = other_names.opened(links)
        rows = [
            row for row in Path("/proc/self/maps").read_bytes().splitlines(True) if b"so" in row
        ]
        maps = [each for each in other_names.mapped(os.getpid(), rows) if "some1" in each.path]
        assert [each.inode for each in maps] == [gone.inode] == [status.st_ino]
        name = OtherName(gone.mount, status.st_dev, status.st_ino, str(tmp_path / "other"))
        assert other_names.find([gone, *maps]) == (name,) and name.still_leads_there
        shared = proc.shared_maps(proc.maps(os.getpid()), {name[1:3]: name.path})
        assert name.path in shared and name.path not in proc.shared_maps(proc.maps(os.getpid()))
        (tmp_path / "other").rename(tmp_path / "later")
        assert other_names.find([gone]) == (name._replace(path=str(tmp_path / "later")),)
        (tmp_path / "other").symlink_to("later")
        assert not name.still_leads_there
        area.close()


def test_a_name_elsewhere_is_found_only_where_the_tree_itself_has_it_open(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    with open(tmp_path / "data", "wb") as file:
        os.link(tmp_path / "data", tmp_path / "below" / "other")
        (tmp_path / "data").unlink()
        links = [(os.getpid(), file.fileno(), f"{tmp_path}/data (deleted)")]
        gone = list(other_names.opened(links))
        assert other_names.find(gone, links) == ()
        links += [(os.getpid(), 99, f"{tmp_path}/below/other")]
        assert [each.path for each in other_names.find(gone, links)] == [links[1][2]]


def test_what_has_no_name_at_all_or_is_called_deleted_is_not_looked_for(tmp_path: Path) -> None:
    with open(tmp_path / "data", "wb") as file, open(tmp_path / "x (deleted)", "wb") as odd:
        (tmp_path / "data").unlink()
        links = [
            (os.getpid(), each.fileno(), os.readlink(f"/proc/self/fd/{each.fileno()}"))
            for each in (file, odd)
        ]
        assert (
            list(other_names.opened([*links, (os.getpid(), 4711, f"{tmp_path}/y (deleted)")])) == []
        )


def test_a_directory_with_very_many_files_is_not_looked_through_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(other_names, "_MOST_LOOKED_AT", 0)
    (tmp_path / "other").touch()
    status = os.stat(tmp_path / "other")
    gone = other_names.Gone(1, f"{tmp_path}/data", status.st_dev, status.st_ino, 7)
    assert other_names.find([gone]) == ()


def test_a_socket_is_found_at_the_path_that_it_was_given_since(tmp_path: Path) -> None:
    place = tmp_path / "one" / "below"
    place.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as ear:
        ear.bind(str(place / "ear"))
        mine = sockets.unix()[str(os.fstat(ear.fileno()).st_ino)]
        assert mine.place == (os.stat(place / "ear").st_dev, os.stat(place / "ear").st_ino)

        def now() -> str:
            assert mine.place is not None
            return other_names.path_of_socket(str(place / "ear"), mine.place[1])

        (place / "ear").rename(place / "listener")
        (place / "ear").touch()
        assert now() == str(place / "listener")
        (place / "listener").unlink()
        assert now() == ""
    with socket.socket(socket.AF_UNIX) as ear:
        (place / "ear").unlink()
        ear.bind(str(place / "ear"))
        mine = sockets.unix()[str(os.fstat(ear.fileno()).st_ino)]
        (tmp_path / "one").rename(tmp_path / "two")
        assert now() == str(tmp_path / "two" / "below" / "ear")
        (tmp_path / "two" / "below").rename(tmp_path / "three")
        assert now() == ""
