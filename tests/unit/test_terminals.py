# SPDX-License-Identifier: MIT
"""MOM starts its programs as session leaders: a terminal that the owner names as a file of his
would become theirs, and he could stop or end root's program from it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit import real, samples
from torqueckpt.checkpointers.criu import log
from torqueckpt.files import job_script, stdio
from torqueckpt.records import LiveStream
from torqueckpt.restart import output
from torqueckpt.safe_files import Directory

Opening = Callable[[str, Path], object]


def open_now(terminal: str, place: Path) -> None:
    os.close(stdio.open_now(_stream(terminal), []))


def open_stream(terminal: str, place: Path) -> None:
    os.close(output.open_stream(_stream(terminal)))


def reason(terminal: str, place: Path) -> None:
    (place / "dump.log").symlink_to(terminal)
    log.reason(place / "dump.log")


def keep(terminal: str, place: Path) -> None:
    fd = os.open(terminal, os.O_RDONLY | os.O_NOCTTY)
    with Directory.open(place) as directory:
        job_script.keep(directory, [(os.getpid(), fd, "/spool/mom_priv/jobs/1.SC")])


@pytest.mark.parametrize("opens", [open_now, open_stream, reason, keep])
def test_a_terminal_in_a_files_place_does_not_become_the_programs(
    opens: Opening, tmp_path: Path
) -> None:
    master, slave = os.openpty()

    def terminal_of_a_leader() -> int:
        os.setsid()
        opens(os.ttyname(slave), tmp_path.resolve())
        fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
        return int(fields[4])

    assert real.in_child(terminal_of_a_leader) == 0
    os.close(master)
    os.close(slave)


def _stream(terminal: str) -> LiveStream:
    status = os.stat(terminal)
    return samples.stream(Path(terminal), device=status.st_dev, inode=status.st_ino)
