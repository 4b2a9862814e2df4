# SPDX-License-Identifier: MIT
"""At a terminal: who waits for a restart sees how far it is, and a listing fits into it."""

from __future__ import annotations

import re
import shlex
import subprocess

import pytest

from tests.job.file_jobs import checkpoint, hashes, job, python
from tests.support import LIMIT_SECONDS, Running, Site, User, lines

# All of it takes far less than a second here.
_AT_ONCE = """
import sys
from torqueckpt.cli import progress
progress.PATIENCE_SECONDS, progress._LOOK_SECONDS = 0, 0.01
from torqueckpt.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
_PROGRAM = python(
    "memory = os.urandom(40 << 20)\n"
    "state = open('state', 'w+b'); state.write(bytes(20 << 20)); state.flush()\n"
    "for i in steps():\n"
    "    state.seek((20 << 20) - i); state.write(b'x'); state.flush()\n"
    "sys.exit(7)\n"
)


@pytest.fixture
def crashed(site: Site, user: User) -> Running:
    """A job with memory and a file, both large; its stderr joins its stdout."""
    directory = user.directory()
    running = site.start(
        user,
        user.script(job(_PROGRAM), directory),
        *("-c", "enabled", "-j", "oe", "-v", "PAUSE=0.05,TORQUECKPT_FILES=data/state=snapshot"),
    )
    running.wait_for_line(3)
    checkpoint(running)
    running.wait_for_line(8)
    running.crash()
    running.may_end.touch()
    return running


def _at_a_terminal(site: Site, user: User, running: Running, *words: str) -> tuple[int, str]:
    """Exit status and what the terminal shows of a command whose stdout goes to the file `new`."""
    python = str(site.root / "lib" / "torqueckpt" / "venv" / "bin" / "python")
    user.script("", running.directory, "new")
    command = shlex.join([python, "-I", "-c", _AT_ONCE, *words])
    shell = f"PBS_JOBID=99.again TERM=xterm COLUMNS=100 exec {command} >new"
    argv = user.argv("/bin/sh", "-c", shell)
    done = subprocess.run(
        ["/usr/bin/script", "-qec", shlex.join(argv), "/dev/null"],
        cwd=running.directory,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
    )
    return done.returncode, done.stdout


def test_a_resume_tells_each_of_its_long_parts_and_then_only_the_job_speaks(
    site: Site, user: User, crashed: Running
) -> None:
    status, shown = _at_a_terminal(site, user, crashed, "resume", crashed.job)
    assert status == 7, shown
    parts = ("verify", "compare files", "bring files back", "put the output", "restore generation")
    at = [shown.find(part) for part in parts]
    assert -1 not in at and at == sorted(at), shown
    assert shown.rstrip().endswith("restore generation 1"), shown  # an exec would leave a bar
    assert (crashed.directory / "new").read_text() == lines(60)
    assert len(hashes(crashed.directory)) == 1


def test_a_rehearsal_tells_how_far_it_has_read(site: Site, user: User, crashed: Running) -> None:
    _, shown = _at_a_terminal(site, user, crashed, "resume", "--rehearse", crashed.job)
    assert re.search(r"verify generation 1 .*/4\d\.\d MiB\b", shown), shown  # too quick for a rate


def test_ones_own_images_are_a_line_each_on_80_columns(
    site: Site, user: User, crashed: Running
) -> None:
    words = user.argv("/usr/bin/env", "TERM=xterm", "COLUMNS=80", site.program, "list")
    argv = ["/usr/bin/script", "-qec", shlex.join(words), "/dev/null"]
    shown = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_SECONDS).stdout
    (row,) = [line.split() for line in shown.splitlines() if line.startswith(f"{crashed.job} ")]
    assert row[-1] == "yes" and user.name not in row
    assert user.name in site.call(user, "list").stdout


def test_a_resume_that_fails_leaves_no_process(site: Site, user: User, crashed: Running) -> None:
    site.configure(pid_wait_seconds=0, criu_path="/bin/false")
    status, shown = _at_a_terminal(site, user, crashed, "resume", crashed.job)
    assert status == 125, shown
    user.has_none()
