# SPDX-License-Identifier: MIT
"""A line of the log, and of a job's comment, is one line whatever a user put into it."""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Iterator
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torqueckpt import log


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("plain words, ö and 日本", "plain words, ö and 日本"),
        ("two\nlines", r"two\nlines"),
        ("\r\t\0", r"\r\t\x00"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("line\u2028separator", r"line\u2028separator"),
        ("\udc80 of a file name", r"\udc80 of a file name"),
        ("\x85", r"\x85"),
    ],
)
def test_control_characters_become_escapes_and_words_stay(text: str, told: str) -> None:
    assert log.one_line(text) == told


@given(st.text())
def test_whatever_the_text_it_is_one_printable_line(text: str) -> None:
    told = log.one_line(text)
    assert told.isprintable()
    assert len(told.splitlines()) <= 1


@pytest.fixture
def nothing_logged_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_lines", deque[str](maxlen=log._lines.maxlen))


@pytest.mark.usefixtures("nothing_logged_yet")
def test_lines_of_this_process_are_kept_for_the_log_of_a_generation() -> None:
    before = log.lines()
    log.info("first\nstill first")
    log.error("second")
    assert log.lines()[len(before) :] == "info: first\\nstill first\nerror: second\n"
    assert log.lines().startswith(before)


def test_a_service_that_logs_for_ever_keeps_the_latest_lines_alone() -> None:
    for number in range(5000):
        log.info(f"line {number}")
    log.info("x" * 10_000_000)
    kept = log.lines().splitlines()
    assert len(kept) == 2000
    assert (kept[0], kept[-2]) == ("info: line 3001", "info: line 4999")
    assert len(kept[-1]) < 100_000


@pytest.mark.usefixtures("nothing_logged_yet")
def test_a_failure_without_a_message_still_leaves_its_traceback() -> None:
    before = log.lines()
    try:
        raise RuntimeError
    except RuntimeError as failure:
        log.traceback_of(failure)
    assert "RuntimeError" in log.lines()[len(before) :]


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A syslog daemon that does not read what it is sent, as a stopped one."""
    with TemporaryDirectory() as place, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as opened:
        opened.bind(f"{place}/log")
        monkeypatch.setattr(log, "DAEMON", f"{place}/log")
        monkeypatch.setattr(log, "_silent_until", 0.0)
        yield opened


def test_a_line_has_its_priority_and_the_program(
    daemon: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "_program", log._program)
    log.start("mom-checkpoint")
    log.warning("first ö\nsecond")
    told = daemon.recv(10_000).decode()
    assert told.startswith("<28>")
    assert told.endswith(f" torqueckpt/mom-checkpoint[{os.getpid()}]: first ö\\nsecond")


def test_a_syslog_daemon_that_hangs_keeps_nobody_waiting(daemon: socket.socket) -> None:
    before = time.monotonic()
    for number in range(3000):  # far more than a socket holds
        log.info(f"line {number}")
    assert time.monotonic() - before < 60
    assert "line 0" in daemon.recv(10_000).decode()


def test_without_a_syslog_daemon_lines_are_kept_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log, "DAEMON", "/nonexistent/log")
    log.info("nobody listens")
    assert "nobody listens" in log.lines()
