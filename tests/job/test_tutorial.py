# SPDX-License-Identifier: MIT
"""docs/tutorial.md, typed by a user: its local part, block by block, in two terminals.

Changed is only what takes time: the minute of `-c c=1` is 2 seconds, and the job counts faster, but
not to its end before the reader is there.  `make install` and the doctor are left out, for the
installation is there; each has tests of its own.  The name of the machine stands where the page has
node1.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import pages
from tests.support import (
    LIMIT_SECONDS,
    MAY_END,
    UNTIL_IT_MAY_END,
    Site,
    User,
    lines,
    wait_until,
)

_PAGE = pages.TOP / "docs" / "tutorial.md"
_SLOW = {
    "-c c=1 ": "-c c=2s ",
    "sleep 1\n": f"sleep 0.05\n    [ $i -lt 170 ] || {UNTIL_IT_MAY_END}\n",
}
_LAST = 180


class Terminal:
    """A user's shell: types blocks, each in the directory that the reader is in."""

    def __init__(self, site: Site, user: User) -> None:
        self._host = socket.gethostname().partition(".")[0]
        self._path = f"{site.root}/bin:{os.defpath}"
        self._user = user
        self.directory = user.directory()

    def typed(self, block: str) -> str:
        for slow, fast in _SLOW.items():
            block = block.replace(slow, fast)
        return block.replace("node1", self._host)

    def start(self, block: str) -> subprocess.Popen[str]:
        words = ("/usr/bin/env", f"PATH={self._path}", "/bin/sh", "-ec", self.typed(block))
        return subprocess.Popen(
            self._user.argv(*words),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.directory,
            start_new_session=True,  # as in a terminal, Ctrl-C reaches this block and no other
        )

    def type(self, block: str, status: int = 0) -> str:
        process = self.start(block)
        out, err = process.communicate(timeout=LIMIT_SECONDS)
        assert process.returncode == status, (block, out, err)
        return out


@pytest.fixture
def sudoer(site: Site, user: User) -> Iterator[User]:
    """The reader may use sudo: for this installation's program, without a password."""
    rule = Path("/etc/sudoers.d") / f"{site.root.name}-reader"
    program = site.program
    rule.write_text(
        f"Defaults:{user.name} secure_path={program.parent}:/usr/bin:/bin, !use_pty\n"
        f"{user.name} ALL = (root) NOPASSWD: {program}\n"
    )
    rule.chmod(0o440)
    yield user
    rule.unlink()


def _blocks(title: str) -> list[str]:
    found = pages.fenced(pages.section(_PAGE, title))
    assert found, title
    return found


def test_the_tutorial_as_it_stands(site: Site, sudoer: User) -> None:
    here = Terminal(site, sudoer)
    script, run = _blocks("A job")
    here.type(script)
    here.directory = here.directory / "tutorial"
    first = here.start(run)
    assert first.stdout is not None
    job = first.stdout.readline().strip()
    assert job == here.typed("1.node1")
    spooled = site.spool / "spool" / f"{job}.OU"
    wait_until(lambda: "line 3\n" in spooled.read_text())

    can, looked = _blocks("An image")
    assert "can be dumped" in here.type(can)
    seen = here.type(looked)
    assert job in seen and "generation 1: whole" in seen
    assert " new stdout " in seen and " kept copy " in seen

    (held,) = _blocks("Hold it, and let it go on")
    assert "no process of it is left" in here.type(held)
    reached = len(spooled.read_text().split("\n"))
    wait_until(lambda: len(spooled.read_text().split("\n")) > reached + 3)
    site.wait_for_images(job, 3)

    write, go_on, compare, away = _blocks("It dies")
    os.killpg(first.pid, signal.SIGINT)
    assert first.wait(LIMIT_SECONDS) != 0
    assert f"to go on: torqueckpt resume-job {job}" in first.communicate()[1]
    counted = (here.directory / "count.o1").read_text()
    assert counted == lines(counted.count("\n")) and counted.count("\n") < _LAST
    here.type(write)
    (here.directory / MAY_END).touch()
    assert here.type(go_on.replace("echo $?\n", ""), status=7).strip() == here.typed("2.node1")
    assert (here.directory / "count.o2").read_text() == lines(_LAST)
    assert here.type(compare) == "complete\n"
    assert job in here.type(away)
    assert site.rows(job) == []


def test_the_page_has_no_block_that_nobody_types() -> None:
    """Up to the batch systems: `Install`, and what the test above types."""
    text = _PAGE.read_text()
    local = text[: text.index("\n## On TORQUE\n")]
    titles = ("A job", "An image", "Hold it, and let it go on", "It dies")
    typed = [block for title in titles for block in _blocks(title)]
    assert pages.fenced(local) == [*_blocks("Install"), *typed]
