# SPDX-License-Identifier: MIT
"""Directories as root must handle them: no link is followed and nothing is torn."""

from __future__ import annotations

import errno
import os
import resource
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit import real
from torqueckpt.identity import Owner
from torqueckpt.process import privileges
from torqueckpt.safe_files import Directory


def _refused(call: Callable[[], object], *numbers: int) -> None:
    with pytest.raises(OSError) as refused:
        call()
    assert refused.value.errno in numbers


def test_a_link_on_the_way_is_refused(place: Path) -> None:
    (place / "real" / "below").mkdir(parents=True)
    (place / "link").symlink_to(place / "real")
    _refused(lambda: Directory.open(place / "link" / "below"), errno.ELOOP, errno.ENOTDIR)


def test_a_link_at_the_end_is_refused(place: Path) -> None:
    (place / "real").mkdir()
    (place / "link").symlink_to("real")
    _refused(lambda: Directory.open(place / "link"), errno.ELOOP, errno.ENOTDIR)


def test_a_link_in_place_of_a_directory_or_file_below_is_refused(
    directory: Directory, place: Path
) -> None:
    (place / "secret").write_text("not yours")
    (directory.path / "sub").symlink_to(place)
    (directory.path / "file").symlink_to(place / "secret")
    _refused(lambda: directory.sub("sub"), errno.ELOOP, errno.ENOTDIR)
    _refused(lambda: directory.make("sub"), errno.ELOOP, errno.ENOTDIR)
    _refused(lambda: directory.read("file"), errno.ELOOP)
    _refused(lambda: directory.append_line("file", "mine now"), errno.ELOOP)
    assert (place / "secret").read_text() == "not yours"


def test_a_link_planted_for_the_scratch_file_of_a_whole_write_is_not_followed(
    directory: Directory, place: Path
) -> None:
    (place / "secret").write_text("not yours")
    (directory.path / "live.json.new").symlink_to(place / "secret")
    _refused(lambda: directory.write_whole("live.json", b"{}"), errno.ELOOP)
    assert (place / "secret").read_text() == "not yours"


def test_a_fifo_in_place_of_a_file_is_refused_at_once_for_reading_and_for_writing(
    directory: Directory,
) -> None:
    os.mkfifo(directory.path / "file")
    _refused(lambda: directory.read("file"), errno.EINVAL)
    _refused(lambda: directory.append_line("file", "x"), errno.EINVAL, errno.ENXIO)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc", "../x", "a\0b"])
def test_a_name_that_is_more_than_a_plain_name_is_refused_by_all(
    directory: Directory, name: str
) -> None:
    for call in (
        lambda: directory.sub(name),
        lambda: directory.make(name),
        lambda: directory.has(name),
        lambda: directory.stats(name, "x"),
        lambda: directory.read(name),
        lambda: directory.remove(name),
        lambda: directory.remove_tree(name),
        lambda: directory.append_line(name, "x"),
        lambda: directory.write_whole(name, b"x"),
        lambda: directory.point(name, "x"),
        lambda: directory.link(name, "x"),
        lambda: directory.rename(name, "x"),
    ):
        _refused(call, errno.EINVAL)
    assert directory.target(name) is None
    assert directory.names() == []


def test_a_file_too_large_to_be_one_of_ours_is_not_read(directory: Directory) -> None:
    os.truncate(os.open(directory.path / "huge", os.O_CREAT | os.O_WRONLY), 1 << 40)
    _refused(lambda: directory.read("huge"), errno.EFBIG)


def test_a_reader_of_a_file_that_is_written_anew_sees_the_old_or_the_new_whole(
    directory: Directory,
) -> None:
    texts = {b"a" * 100_000, b"b" * 50_000}
    directory.write_whole("file", b"a" * 100_000)
    torn: list[int] = []
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            data = (directory.path / "file").read_bytes()
            if data not in texts:
                torn.append(len(data))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(30):
        for text in sorted(texts):
            directory.write_whole("file", text)
    over.set()
    reader.join()
    assert not torn
    assert directory.names() == ["file"]


def test_a_scratch_file_left_by_a_crash_is_no_obstacle(directory: Directory) -> None:
    (directory.path / "file.new").write_bytes(b"half of something much longer")
    directory.write_whole("file", b"whole")
    assert directory.read("file") == b"whole"


def test_a_tree_is_removed_but_nothing_that_its_links_lead_to(
    directory: Directory, place: Path
) -> None:
    (place / "outside").mkdir()
    (place / "outside" / "file").write_text("stays")
    below = directory.path / "tree" / "a" / "b"
    below.mkdir(parents=True)
    (below / "file").write_text("goes")
    (below / "link").symlink_to(place / "outside")
    (directory.path / "tree" / "up").symlink_to("..")
    os.mkfifo(below / "fifo")
    (directory.path / "other").write_text("stays")
    directory.remove_tree("tree")
    assert directory.names() == ["other"]
    assert (place / "outside" / "file").read_text() == "stays"


def test_a_link_in_place_of_the_tree_is_removed_itself(directory: Directory, place: Path) -> None:
    (place / "file").write_text("stays")
    (directory.path / "tree").symlink_to(place)
    directory.remove_tree("tree")
    assert directory.names() == []
    assert (place / "file").read_text() == "stays"


def test_a_tree_of_any_depth_is_removed(directory: Directory) -> None:
    (directory.path / "tree").mkdir()
    at = os.open(directory.path / "tree", os.O_RDONLY)
    for _ in range(5000):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    few = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, few[1]))
    try:
        directory.remove_tree("tree")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, few)
    assert directory.names() == []


def test_what_its_owner_has_closed_is_removed_all_the_same(place: Path, user: Owner) -> None:
    top = place / "his"
    (top / "tree" / "a" / "b").mkdir(parents=True)
    (top / "tree" / "a" / "b" / "file").write_text("goes")
    for each in (top / "tree" / "a" / "b", top / "tree" / "a", top / "tree", top):
        os.chown(each, user.uid, user.gid)
        each.chmod(0o700 if each == top else 0)
    with privileges.acting_as(user), Directory.open(top) as directory:
        directory.remove_tree("tree")
        assert directory.names() == []


def test_a_tree_that_somebody_goes_on_filling_keeps_nobody_for_ever(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torqueckpt.safe_files._MANY", 1000)
    (directory.path / "tree" / "a").mkdir(parents=True)
    unlink = os.unlink

    def fills(name: str, *, dir_fd: int) -> None:
        unlink(name, dir_fd=dir_fd)
        os.close(os.open(f"{name}1"[-20:], os.O_CREAT, dir_fd=dir_fd))

    (directory.path / "tree" / "a" / "file").write_text("goes")
    monkeypatch.setattr(os, "unlink", fills)
    with pytest.raises(OSError, match="more than 1000 entries"):
        directory.remove_tree("tree")


def test_a_directory_of_more_names_than_any_of_ours_is_not_listed(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torqueckpt.safe_files._MANY", 10)
    for number in range(10):
        (directory.path / str(number)).touch()
    assert len(directory.names()) == 10
    (directory.path / "11").touch()
    with pytest.raises(OSError, match="more than 10 entries"):
        directory.names()


def test_removing_what_is_not_there_is_fine(directory: Directory) -> None:
    directory.remove("nothing")
    directory.remove_tree("nothing")


def test_lines_that_several_processes_append_at_once_never_mix(directory: Directory) -> None:
    pids = []
    for letter in "abcd":
        pid = os.fork()
        if pid == 0:
            for _ in range(200):
                directory.append_line("journal", letter * 500)
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
    lines = directory.read("journal").decode().splitlines()
    assert len(lines) == 800
    assert all(len(line) == 500 and len(set(line)) == 1 for line in lines)


def test_a_name_that_is_no_utf8_can_be_appended(directory: Directory) -> None:
    directory.append_line("journal", "caf\udce9")
    assert directory.read("journal") == b"caf\xe9\n"


def test_a_link_is_made_swapped_and_read_and_a_file_is_no_link(directory: Directory) -> None:
    directory.point("link", "one")
    directory.point("link", "two")
    assert directory.target("link") == "two"
    assert directory.target("nothing") is None
    directory.write_whole("file", b"")
    assert directory.target("file") is None


def test_a_user_passes_through_directories_that_he_may_not_list(place: Path, user: Owner) -> None:
    inner = place / "mom_priv" / "jobs" / "his"
    inner.mkdir(parents=True)
    for made, mode in ((place / "mom_priv", 0o711), (place / "mom_priv" / "jobs", 0o711)):
        made.chmod(mode)
    os.chown(inner, user.uid, user.gid)

    def work() -> list[str]:
        privileges.drop(user)
        with Directory.open(inner) as opened:
            opened.write_whole("file", b"his")
        with Directory.open(inner.parent) as passed, passed.sub("his") as below:
            return below.names()

    assert real.in_child(work) == ["file"]


def test_a_user_is_kept_out_where_he_may_not_pass(place: Path, user: Owner) -> None:
    (place / "closed" / "below").mkdir(parents=True)
    (place / "closed").chmod(0o700)
    with privileges.acting_as(user):
        _refused(lambda: Directory.open(place / "closed" / "below"), errno.EACCES)
