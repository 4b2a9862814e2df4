# SPDX-License-Identifier: MIT
"""What a process watches is found by its path, soon or not at all, and CRIU is told of it."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit import real
from torqueckpt.checkpointers.criu import watches
from torqueckpt.checkpointers.criu.wire import Message
from torqueckpt.findings import REFUSED
from torqueckpt.process import proc, resources, tree

Start = Callable[..., "subprocess.Popen[bytes]"]

_WATCH = """
import ctypes, sys, time
libc = ctypes.CDLL(None)
made = libc.inotify_init()
for path in sys.argv[1:]:
    assert libc.inotify_add_watch(made, path.encode(), 2) > 0
print(flush=True)
time.sleep(600)
"""


def _watching(started: Start, directory: Path, *paths: str) -> resources.Holdings:
    program = started(*real.python(_WATCH, *paths), stdout=subprocess.PIPE, cwd=directory)
    assert program.stdout is not None and program.stdout.readline()
    return _held(program)


def _held(program: subprocess.Popen[bytes]) -> resources.Holdings:
    root = proc.stat(program.pid)
    assert root is not None
    members = tree.below(root)
    return resources.of_tree(members, tree.open_links(members))


def test_what_lies_below_the_working_directory_is_found(started: Start, place: Path) -> None:
    (place / "work" / "deep" / "deeper").mkdir(parents=True)
    (place / "work" / "deep" / "file").touch()
    (place / "link").symlink_to("work")
    wanted = ["work", "work/deep/deeper", "link/deep/file", "."]
    held = _watching(started, place, *wanted)
    found = watches.paths(held)
    assert set(found.values()) == {os.path.realpath(place / each) for each in wanted}
    assert list(watches.findings(held, found)) == []


def test_the_usual_directories_are_found_themselves(started: Start, place: Path) -> None:
    held = _watching(started, place, "/etc", "/tmp")
    assert set(watches.paths(held).values()) == {"/etc", "/tmp"}


def test_what_is_not_found_in_time_is_refused_once_for_each_process(
    started: Start, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "one").touch()
    (place / "two").touch()
    held = _watching(started, place, "one", "two", ".")
    monkeypatch.setattr(watches, "_SECONDS", -1)  # for what is neither open nor worked in
    found = watches.paths(held)
    assert list(found.values()) == [str(place)]
    (told,) = watches.findings(held, found)
    assert (told.severity, "what path that has was not found" in told.what) == (REFUSED, True)


def test_of_a_job_that_watches_nothing_nothing_is_looked_for(
    started: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watches, "_walk", None)
    held = _held(started("/bin/sleep", "600"))
    assert watches.paths(held) == {}


def test_criu_is_told_devices_inodes_and_paths() -> None:
    found = {(8 << 20 | 1, 12): "/a/b", (7, 2**40): "/caf\udce9"}
    written = watches.cache(found)
    assert written[:8] == bytes.fromhex("4059105559400057")
    at, told = 8, {}
    while at < len(written):
        (length,) = struct.unpack_from("<I", written, at)
        message = Message(written[at + 4 : at + 4 + length])
        path = next(value for number, _, value in message.fields if number == 3)
        assert isinstance(path, bytes)
        told[message.number(1), message.long(2)] = os.fsdecode(path)
        at += 4 + length
    assert told == found


def test_tail_is_refused_where_a_dump_would_end_its_wait(started: Start, place: Path) -> None:
    (place / "file").write_text("line\n")
    tail = started("/usr/bin/tail", "-f", "file", stdout=subprocess.PIPE, cwd=place)
    assert tail.stdout is not None and tail.stdout.readline()
    real.until(lambda: any(to == watches.INOTIFY for _, _, to in _held(tail).links), "its watch")
    held = _held(tail)
    found = watches.paths(held)
    (told,) = watches.findings(held, found, felt=True)
    assert (told.severity, "tail ---disable-inotify -f" in told.remedy) == (REFUSED, True)
    assert list(watches.findings(held, found)) == []
