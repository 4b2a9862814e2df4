# SPDX-License-Identifier: MIT
"""Which faults this machine can make (said in the report's header), and the rows they fill."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults import strace
from tests.faults.report import Row, write
from tests.support import INSTALLED, Running, Site, User, lines, wait_until

COMMAND = "make test-faults"


def report() -> str:
    """The header's line; the top conftest asks for it."""
    no_strace = strace.missing()
    needed = ("/dev/loop-control", "/usr/sbin/mkfs.ext4")
    no_disk = next((f"no {each}" for each in needed if not Path(each).exists()), "")
    told = [
        f"kill -9, EIO and slow calls at {'each step' if strace.all_steps() else 'some steps'}: "
        + (f"DID NOT RUN: {no_strace}" if no_strace else "run, by strace"),
        "a store that fails or is slow: "
        + (f"DID NOT RUN: {no_fuse()}" if no_fuse() else "run, by FUSE"),
        "a disk that cannot be written back to: "
        + (f"DID NOT RUN: {no_disk}" if no_disk else "run, ext4 on a loop device"),
        "a clock set back: run, by what it leaves (no clock is moved for one process alone)",
    ]
    return "faults: " + "; ".join(told)


def no_fuse() -> str:
    """Why there can be no file system of ours here, "" when there can."""
    if not os.path.exists("/dev/fuse"):
        return "no /dev/fuse"
    try:
        importlib.import_module("mfusepy")
    except (ImportError, OSError) as problem:  # OSError: it finds no libfuse
        return f"mfusepy: {problem}"
    return ""


@pytest.fixture
def counted(request: pytest.FixtureRequest) -> Iterator[Callable[..., None]]:
    """Note a row of docs/reliability.md; it is written when the test has passed."""
    rows: list[Row] = []

    def note(what: str, times: int, figures: str = "", command: str = COMMAND) -> None:
        rows.append(Row(what, times, figures, command))

    yield note
    if not request.node.failed:
        write(rows)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    answer = yield
    item.failed = answer.failed or getattr(item, "failed", False)  # type: ignore[attr-defined]
    return answer


@pytest.fixture
def traced() -> None:
    if strace.missing():
        pytest.skip(strace.missing())


JOB = """#!/bin/sh
i=0
until [ -e stop ]; do i=$((i + 1)); echo line $i; sleep 0.1; done
exit 7
"""


@dataclass
class Faulty:
    """Jobs that count until they are told to stop, in one directory each."""

    site: Site
    user: User

    def start(self, text: str = JOB) -> Running:
        running = self.site.start(
            self.user, self.user.script(text, self.user.directory()), "-c", "enabled,depth=3"
        )
        running.wait_for_line(1)
        return running

    def resume(self, running: Running) -> Running:
        """Go on as a new job; as soon as it has written a line of its own."""
        again = self.site.resume(self.user, running.job, running.directory)
        reached = wait_until(lambda: again.spooled().count("\n"))
        wait_until(lambda: again.spooled().count("\n") > reached)
        return again

    def ends_well(self, running: Running) -> None:
        """Told to stop it ends with its own status, and each line is there once."""
        (running.directory / "stop").touch()
        assert running.wait() == 7, running.err()
        out = running.out()
        assert out == lines(out.count("\n"))


@pytest.fixture
def jobs(site: Site, user: User) -> Faulty:
    return Faulty(site, user)


@pytest.fixture
def criu(site: Site) -> Path:
    """The site's CRIU, to be put something before; the settings name it."""
    program = site.root / "criu"
    program.write_text(f'#!/bin/sh\nexec {INSTALLED}/criu/criu "$@"\n')
    program.chmod(0o755)
    site.configure(criu_path=str(program))
    return program
