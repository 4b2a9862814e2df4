# SPDX-License-Identifier: MIT
"""Memory that is dumped while the job runs: right after a restart; a full dump when it fails."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.job import tracking
from tests.support import (
    INSTALLED,
    LIMIT_SECONDS,
    Running,
    Site,
    User,
    lines,
    python_counting,
    wait_until,
)

# Changes its memory in every way between the pre-dump and the dump, and looks at it at the end.
_CHANGES = """#!/usr/bin/python3 -u
import ctypes, mmap, os, sys, time
M = 1 << 20
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = libc.mremap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.mremap.argtypes = [ctypes.c_void_p, *[ctypes.c_size_t] * 2, ctypes.c_int, ctypes.c_void_p]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
fresh = lambda size, at=None: libc.mmap(at, size, 3, 0x22 | (0x10 if at else 0), -1, 0)
begin = fresh(96 * M)
area = (begin + 2 * M - 1) // (2 * M) * 2 * M
for n in range(92):
    ctypes.memset(area + n * M, 65 + n % 26, M)
shared = mmap.mmap(-1, 4 * M)
shared[:] = b"s" * len(shared)
unread = fresh(M)
ctypes.memset(unread, 117, M)
libc.mprotect(unread, M, 0)

def waits(name):
    while not os.path.exists(name):
        time.sleep(0.02)

expected = [65 + n % 26 for n in range(92)]
child = os.fork()
if child == 0:
    waits("change")
    ctypes.memset(area + 5 * M, 33, M)
    expected[5] = 33
else:
    print("line 1")
    waits("change")
    ctypes.memset(area + 1 * M, 34, M)                      # written again
    expected[1] = 34
    libc.madvise(area + 2 * M, M, 4)                        # given back, and read: zeros
    expected[2] = 0
    ctypes.string_at(area + 2 * M, M)
    libc.munmap(area + 3 * M, M)                            # gone, and another one there
    fresh(M, area + 3 * M)
    ctypes.string_at(area + 3 * M, M)
    expected[3] = 0
    libc.munmap(area + 4 * M, 2 * M)                        # others moved to where it was
    libc.mremap(area + 8 * M, 2 * M, 2 * M, 3, area + 4 * M)
    fresh(2 * M, area + 8 * M)
    expected[4:6], expected[8:10] = expected[8:10], [0, 0]
    libc.munmap(area + 10 * M, 4 * M)                       # a whole table of pages moved
    libc.mremap(area + 20 * M, 4 * M, 4 * M, 3, area + 10 * M)
    fresh(4 * M, area + 20 * M)
    expected[10:14], expected[20:24] = expected[20:24], [0] * 4
    libc.mprotect(area + 30 * M, M, 1)                      # read only by then
    libc.mprotect(unread, M, 3)
    ctypes.memset(unread, 118, M)
    libc.mprotect(unread, M, 0)
    writer = os.fork()
    if writer == 0:
        shared[M : 2 * M] = b"t" * M                        # by one who is gone at the dump
        os._exit(0)
    os.waitpid(writer, 0)
late = os.fork() if child else -1                           # was not there at the pre-dump
if late:
    open("changed.%d" % (child != 0), "w").close()
waits("go on")
libc.mprotect(unread, M, 3)
wrong = [n for n in range(92) if ctypes.string_at(area + n * M, M) != bytes([expected[n]]) * M]
if shared[:M] + shared[2 * M :] != b"s" * 3 * M or shared[M : 2 * M] != b"t" * M:
    wrong.append("shared")
if ctypes.string_at(unread, M) != (b"v" if child else b"u") * M:
    wrong.append("unread")
if child == 0 or late == 0:
    os._exit(1 if wrong else 0)
ends = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in (child, late)]
print("wrong:", wrong, ends)
raise SystemExit(7)
"""
_LAST = 60
_BIG = """#!/usr/bin/python3 -u
import os, time
block = bytearray(os.urandom(1 << 20)) * 80
"""
_BIG += f"{python_counting(_LAST)}raise SystemExit(7)\n"
_WHEN_ALL_WENT_RIGHT = "memory was dumped before"


def _program(site: Site, text: str) -> str:
    """A checkpointer that is CRIU but for some of its verbs; $criu is CRIU itself."""
    program = site.root / "criu-but"
    criu = tracking.criu()[0] or INSTALLED / "criu" / "criu"
    program.write_text(f'#!/bin/sh\ncriu={criu}\n{text}\nexec "$criu" "$@"\n')
    program.chmod(0o755)
    return str(program)


def _checkpoint(running: Running, signal: int = 0) -> None:
    words = running.hook_argv(signal=signal)
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_SECONDS)
    assert done.returncode == 0, done.stderr


def _told(site: Site, running: Running) -> str:
    """The log of the newest generation, of which nothing but an ordinary image is left."""
    newest = sorted(site.lineage(running.job).glob("[0-9]*"))[-1]
    assert sorted(each.name for each in newest.iterdir()) == [
        "image",
        "log",
        "manifest.json",
        "work",
    ]
    names = {each.name for each in (newest / "image").iterdir()}
    assert not os.path.lexists(newest / "image" / "parent")
    assert not [name for name in names if name.endswith(".new")]
    answer = site.call(None, "verify", running.job)  # also that no other file is there
    assert answer.returncode == 0, answer.stderr
    return (newest / "log").read_text()


@pytest.mark.parametrize("end", [False, True])
def test_memory_that_was_changed_in_every_way_between_pre_dump_and_dump_is_as_it_was(
    site: Site, user: User, end: bool
) -> None:
    if tracking.criu()[0] is None:
        pytest.skip(tracking.criu()[1])
    place = user.directory()
    between = f"""if [ "$1" = dump ]; then
    touch '{place}/change'
    while [ ! -e '{place}/changed.0' ] || [ ! -e '{place}/changed.1' ]; do sleep 0.05; done
fi"""
    site.configure(pre_dump="auto", criu_path=_program(site, between))
    running = site.start(user, user.script(_CHANGES, place), "-c", "enabled")
    running.wait_for_line(1)
    _checkpoint(running, 15 if end else 0)
    assert _WHEN_ALL_WENT_RIGHT in _told(site, running)
    if end:
        running.wait()
    else:
        running.crash()
    (place / "go on").touch()
    resumed = site.resume(user, running.job, place)
    assert resumed.wait() == 7, resumed.stderr.read_text()
    assert resumed.out() == "line 1\nwrong: [] [0, 0]\n"


_FAILURES = {
    "the pre-dump fails": 'if [ "$1" = pre-dump ]; then echo "no reason" >&2; exit 1; fi',
    "the pre-dump takes too long": 'if [ "$1" = pre-dump ]; then exec sleep 6000; fi',
    "the dump cannot use it": """case "$1 $*" in
        pre-dump*) exit 0 ;;
        dump*--prev-images-dir*) echo "no such parent" >&2; exit 1 ;;
    esac""",
    "the image cannot be merged": """case "$1 $*" in
        pre-dump*) exit 0 ;;
        dump*--prev-images-dir*) exec "$criu" $(echo "$*" | sed 's/ --track-mem.*//') ;;
    esac""",
}


@pytest.mark.parametrize("failure", _FAILURES)
@pytest.mark.parametrize("end", [False, True])
def test_a_dump_is_a_full_one_and_nothing_is_left_when(
    site: Site, user: User, failure: str, end: bool
) -> None:
    """Also on a kernel that tracks nothing: the checkpointer claims that it can."""
    text = f'[ "$1" = check ] && exit 0\n{_FAILURES[failure]}'
    limit = 10 if "too long" in failure else LIMIT_SECONDS  # for the dump that follows too
    program = _program(site, text)
    site.configure(pre_dump="auto", criu_path=program, dump_timeout_seconds=limit)
    running = site.start(user, user.script(_BIG, user.directory()), "-c", "enabled")
    running.wait_for_line(1)
    wait_until(lambda: _in_memory(running) > 80 << 20)
    _checkpoint(running, 15 if end else 0)
    told = _told(site, running)
    assert "a full dump: " in told and _WHEN_ALL_WENT_RIGHT not in told, told
    if end:
        running.wait()
        running = site.resume(user, running.job, running.directory)
    assert running.wait() == 7
    assert running.out() == lines(_LAST)


def test_a_small_job_is_dumped_once_and_a_checkpointer_that_cannot_is_not_asked_twice(
    site: Site, user: User
) -> None:
    text = f"""echo "$1" >>{site.root}/asked
case "$1" in check|pre-dump) echo "not with me"; exit 1 ;; esac"""
    site.configure(pre_dump="auto", criu_path=_program(site, text))
    (site.root / "asked").touch(0o666)
    (site.root / "asked").chmod(0o666)
    for script, asked in (("#!/bin/sh\necho line 1\nsleep 6000\n", 0), (_BIG, 1)):
        running = site.start(user, user.script(script, user.directory()), "-c", "enabled")
        running.wait_for_line(1)
        if asked:
            wait_until(lambda job=running: _in_memory(job) > 80 << 20)
        _checkpoint(running)
        assert (site.root / "asked").read_text().split().count("check") == asked
        assert "a full dump: " in _told(site, running)
    assert "pre-dump" not in (site.root / "asked").read_text()
    assert "lacks mem_dirty_track" in _told(site, running)


def _in_memory(running: Running) -> int:
    rows = Path(f"/proc/{running.exec_pid()}/status").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith("RssAnon")) * 1024
