# SPDX-License-Identifier: MIT
"""What waits in terminals that a job made is there after dumps and restarts (terminals.c).

Nothing of it is lost, doubled or echoed once more, and each read gives what it would have given.
"""

from __future__ import annotations

import ast
import subprocess

import pytest

from tests.support import MAY_END, Running, Site, User

_PROGRAM = f"""#!/usr/bin/python3 -u
import fcntl, os, select, struct, termios, time, tty
ALL, made = [], []
def terminal(name, out=b"", into=b"", change=None):
    master, slave = os.openpty()
    if change:
        change(master, slave)
    ends = [master, slave]
    for end, data in ((slave, out), (master, into)):
        os.write(end, data) if data else None
    made.append((name, ends))
    return ends
def until(end, count):
    there = 0
    while there < count:
        there = struct.unpack("i", fcntl.ioctl(end, termios.FIONREAD, bytes(4)))[0]
def taken(end):
    os.set_blocking(end, False)
    while True:
        try:
            yield os.read(end, 4096)
        except BlockingIOError:
            return
def treated(at, flags):
    def change(master, slave):
        kept = termios.tcgetattr(slave)
        kept[at] ^= flags
        termios.tcsetattr(slave, termios.TCSANOW, kept)
    return change
def packets(master, slave):
    fcntl.ioctl(master, termios.TIOCPKT, struct.pack("i", 1))
def raw(master, slave):
    tty.setraw(slave)
{{terminals}}
before = [(termios.tcgetattr(end), os.get_blocking(end)) for _, ends in made for end in ends[:2]]
print("line 1")
while not os.path.exists(os.environ["PBS_O_WORKDIR"] + "/{MAY_END}"):
    time.sleep(0.02)
after = [(termios.tcgetattr(end), os.get_blocking(end)) for _, ends in made for end in ends[:2]]
assert before == after
got = {{{{}}}}
for name, (master, slave, *_) in made:
    from_slave = b"".join(taken(master))
    got[name] = (from_slave, list(taken(slave)), b"".join(taken(master)))
print(got)
os._exit(7)
"""
_MANY = """
terminal("output", b"one\\ntwo\\nthree")
terminal("lines, echoed", into=b"one\\ntwo\\r\\n")
master, slave = terminal("both", b"one\\n", b"in\\n")
until(master, 9)
os.write(slave, b"two\\n")
terminal("the end of input", into=b"\\x04")
terminal("ends of input, lines, half a line", into=b"abc\\x04\\x04line\\n\\x04tail\\nhalf")
terminal("edited", into=b"abX\\x7fc\\nde\\x15fg\\n")
def ends(master, slave):
    kept = termios.tcgetattr(slave)
    kept[6][termios.VEOL], kept[6][termios.VEOL2] = b"a", b"b"
    termios.tcsetattr(slave, termios.TCSANOW, kept)
terminal("other ends of lines", into=b"1a2\\n3b", change=ends)
terminal("raw", b"x\\ny\\r\\n", b"a\\r\\n\\x03\\x04\\x11\\x7fb", raw)
terminal("no echo", b"", b"one\\ntwo\\n", treated(3, termios.ECHO))
terminal("packets", b"one\\n", b"in\\n", packets)
ends = terminal("several descriptions", b"one\\n")
ends += [os.open(os.ttyname(ends[1]), os.O_RDWR | os.O_NOCTTY) for _ in range(2)]
os.write(ends[0], b"in\\n")
master, slave = terminal("raw, then treated", b"", b"a\\x03\\n\\r", raw)
until(slave, 4)
treated(3, termios.ISIG | termios.ECHO)(master, slave)
"""
_WAITS = {
    "output": (b"one\r\ntwo\r\nthree", [], b""),
    "lines, echoed": (b"one\r\ntwo\r\n\r\n", [b"one\n", b"two\n", b"\n"], b""),
    "both": (b"one\r\nin\r\ntwo\r\n", [b"in\n"], b""),
    "the end of input": (b"", [b""], b""),
    "ends of input, lines, half a line": (
        b"abcline\r\ntail\r\nhalf",
        [b"abc", b"", b"line\n", b"", b"tail\n"],
        b"",
    ),
    "edited": (b"abX\b \bc\r\nde\b \b\b \bfg\r\n", [b"abc\n", b"fg\n"], b""),
    "other ends of lines": (b"1a2\r\n3b", [b"1a", b"2\n", b"3b"], b""),
    "raw": (b"x\ny\r\n", [b"a\r\n\x03\x04\x11\x7fb"], b""),
    "no echo": (b"", [b"one\n", b"two\n"], b""),
    "packets": (b"\x00one\r\nin\r\n", [b"in\n"], b""),
    "several descriptions": (b"one\r\nin\r\n", [b"in\n"], b""),
    "raw, then treated": (b"", [b"a\x03\n\r"], b""),
}
_STOPPED = """
for name, by in (("Ctrl-S", None), ("a call", termios.TCOOFF)):
    master, slave = terminal(name, b"one\\n")
    until(master, 5)
    termios.tcflow(slave, by) if by is not None else os.write(master, b"\\x13")
    while select.select([], [slave], [], 0)[1]:
        pass
"""
_FULL = """
master, slave = terminal("full")
os.set_blocking(slave, False)
sent = 0
try:
    while True:
        sent += os.write(slave, b"x" * 100)
        if sent == 4000:
            until(master, 4000)
except BlockingIOError:
    os.set_blocking(slave, True)
made.append((str(sent), terminal("empty")))
"""


def _started(site: Site, user: User, terminals: str) -> Running:
    site.configure(repeat_window_seconds=0)
    script = user.script(_PROGRAM.format(terminals=terminals), user.directory())
    running = site.start(user, script, "-c", "enabled")
    running.wait_for_line(1)
    return running


def _dump(running: Running) -> subprocess.CompletedProcess[str]:
    return subprocess.run(running.hook_argv(), capture_output=True, text=True)


def _dumped(running: Running) -> None:
    answer = _dump(running)
    assert answer.returncode == 0, answer.stderr


def _got(running: Running) -> dict[str, tuple[bytes, list[bytes], bytes]]:
    assert running.wait() == 7, running.err()
    found: dict[str, tuple[bytes, list[bytes], bytes]] = ast.literal_eval(
        running.out().partition("\n")[2]
    )
    return found


@pytest.mark.parametrize("dumps", [0, 2])
def test_a_running_job_reads_what_it_would_have_read(site: Site, user: User, dumps: int) -> None:
    running = _started(site, user, _MANY)
    for _ in range(dumps):
        _dumped(running)
    assert _got(running) == _WAITS


def test_so_does_a_restored_one_and_one_that_is_dumped_again(site: Site, user: User) -> None:
    running = _started(site, user, _MANY)
    for _ in range(2):
        _dumped(running)
        running.crash()
        running = site.resume(user, running.job, running.directory)
        site.wait_for_restart(running)
    _dumped(running)
    assert _got(running) == _WAITS


def test_what_waits_behind_output_that_is_stopped_is_not_lost(site: Site, user: User) -> None:
    running = _started(site, user, _STOPPED)
    for _ in range(2):
        _dumped(running)
    assert _got(running) == {each: (b"one\r\n", [], b"") for each in ("Ctrl-S", "a call")}


def test_more_than_an_image_can_have_refuses_it_and_is_not_touched(site: Site, user: User) -> None:
    running = _started(site, user, _FULL)
    answer = _dump(running)
    assert answer.returncode != 0
    assert "too much waits unread in a terminal" in answer.stderr
    got = _got(running)
    (sent,) = got.keys() - {"full", "empty"}
    assert got["full"] == (b"x" * int(sent), [], b"")
