# SPDX-License-Identifier: MIT
"""Jobs whose memory is dumped at once, since to dump it before would be of no use or be wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from torqueckpt.checkpoint import pre_dump
from torqueckpt.checkpointers.criu.criu import Criu
from torqueckpt.identity import Owner
from torqueckpt.process import memory, proc
from torqueckpt.settings import Settings

_MIB = 1 << 20
_OWN = "own = bytearray(b'o') * (70 << 20)"
_SHARED = "import mmap; all = mmap.mmap(-1, 80 << 20); all[:] = b'a' * len(all)"
_AIO = "import ctypes; c = ctypes.c_long(); ctypes.CDLL(None).syscall(206, 8, ctypes.byref(c))"


class _Says(Criu):
    """CRIU, whose answer to each check is another program's."""

    def __init__(self, answer: str) -> None:
        super().__init__(Settings())
        self.answer = answer

    def pre_dump_checks(self) -> list[list[str]]:
        return [[self.answer, argv[-1]] for argv in super().pre_dump_checks()]

    def capabilities(self, established_tcp: bool) -> tuple[str, ...]:
        return ()


@contextmanager
def _job(text: str, owner: Owner) -> Iterator[Any]:
    """A process that has run `text`, as the root of a tree."""
    argv = [sys.executable, "-c", f"{text}\nprint(flush=True)\ninput()"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdin is not None
        process.stdout.readline()
        try:
            root = proc.stat(process.pid)
            yield SimpleNamespace(tree=[root], root=root, owner=owner)
        finally:
            process.stdin.close()


@pytest.mark.parametrize(
    ("text", "room", "told"),
    [
        ("", True, "small"),
        (_SHARED, True, "small"),
        (f"{_OWN}\n{_SHARED}", True, "shared"),
        (f"{_OWN}\n{_AIO}", True, "io_setup"),
        (_OWN, False, "no room"),
        (_OWN, True, "lacks mem_dirty_track"),
    ],
)
def test_a_full_dump_is_taken_at_once_of_a_job_that(
    user: Owner, text: str, room: bool, told: str
) -> None:
    with _job(text, user) as target:
        assert told in pre_dump._reason_against(_Says("/bin/false"), target, lambda: room)


def test_only_a_job_for_which_all_is_as_it_should_be_is_dumped_before(user: Owner) -> None:
    with _job(_OWN, user) as target:
        assert pre_dump._reason_against(_Says("/bin/true"), target, lambda: True) == ""
        assert 70 * _MIB < memory.own(target.tree) <= memory.to_dump(target.tree)


def test_shared_memory_is_nobody_s_own(user: Owner) -> None:
    with _job(_SHARED, user) as target:
        assert memory.own(target.tree) < 64 * _MIB < memory.to_dump(target.tree)
