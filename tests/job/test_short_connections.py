# SPDX-License-Identifier: MIT
"""A job that opens a connection every few milliseconds has its checkpoints all the same."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.batch.private import LONG
from tests.support import MAY_END, Site, User, lines

_DUMPS = 50 if LONG else 15

# Two servers of the job's own, at loopback and at a path, and two outside of it; a request to one
# of them every few milliseconds, in the order of the numbers.
TALKS = """#!/usr/bin/python3 -u
import os, socket, threading, time
def serve(ear):
    while True:
        talk, _ = ear.accept()
        with talk:
            talk.sendall(talk.recv(100))
mine = socket.create_server(("127.0.0.1", 0))
path = socket.socket(socket.AF_UNIX)
path.bind(os.environ["PBS_O_WORKDIR"] + "/mine")
path.listen()
others = {others!r}
if os.fork() == 0:
    threading.Thread(target=serve, args=(path,)).start()
    serve(mine)
places = [(each.family, each.getsockname()) for each in (mine, path)] + others
mine.close()
path.close()
number = 0
def ask(word):
    family, place = places[number % len(places)]
    with socket.socket(family) as call:
        call.connect(place)
        call.sendall(word)
        time.sleep(0.001)
        return call.recv(100)
while not os.path.exists(os.environ["PBS_O_WORKDIR"] + "/{may_end}"):
    number += 1
    try:
        answer = ask(b"%d" % number)
        assert answer in (b"%d" % number, b""), answer
    except OSError:
        pass  # of a connection to outside nothing is left after a restart
    if number % 100 == 0:
        print("line", number // 100)
    time.sleep({pause})
os.kill(0, 15)
"""


@contextmanager
def echoing(*ears: socket.socket) -> Iterator[None]:
    """Inside, each answers what it is sent."""

    def serve(ear: socket.socket) -> None:
        while True:
            try:
                talk, _ = ear.accept()
            except OSError:
                return
            with talk:
                try:
                    talk.sendall(talk.recv(100))
                except OSError:
                    continue

    threads = [threading.Thread(target=serve, args=(ear,)) for ear in ears]
    for each in threads:
        each.start()
    try:
        yield
    finally:
        for ear in ears:
            ear.shutdown(socket.SHUT_RDWR)
        for each in threads:
            each.join()


@pytest.fixture
def outside(user: User) -> Iterator[list[tuple[int, object]]]:
    """Places of two servers that are not the job's."""
    path = user.directory() / "outside"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(path))
        os.chown(path, user.uid, user.gid)
        unix.listen()
        with echoing(tcp, unix):
            yield [(int(each.family), each.getsockname()) for each in (tcp, unix)]


def test_none_of_its_checkpoints_is_refused_and_it_comes_back(
    site: Site, user: User, outside: list[tuple[int, object]]
) -> None:
    site.configure(repeat_window_seconds=0)
    text = TALKS.format(others=outside, may_end=MAY_END, pause=0.003)
    running = site.start(user, user.script(text, user.directory()), "-c", "enabled")
    running.wait_for_line(1)
    failed = []
    for _ in range(_DUMPS):
        answer = subprocess.run(running.hook_argv(), capture_output=True, text=True)
        if answer.returncode:
            failed.append((answer.returncode, answer.stderr))
    assert failed == []
    running.crash()
    resumed = site.resume(user, running.job, running.directory)
    site.wait_for_restart(resumed)
    resumed.wait()
    assert resumed.out().startswith(lines(3))


def test_each_hold_and_release_of_it_succeeds(
    site: Site, user: User, outside: list[tuple[int, object]]
) -> None:
    """A dump that is to end the job, and meets a connection, leaves it running for the next one."""
    text = TALKS.format(others=outside, may_end=MAY_END, pause=0.003)
    running = site.start(user, user.script(text, user.directory()), "-c", "enabled")
    running.wait_for_line(1)
    for verb in ("hold", "release") * 5:
        told = site.call(user, verb, running.job)
        assert told.returncode == 0, (verb, told.stderr)
