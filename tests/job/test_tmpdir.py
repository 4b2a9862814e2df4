# SPDX-License-Identifier: MIT
"""A $TMPDIR that a batch system makes for each job and removes with it, named for the job."""

from __future__ import annotations

import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import Site, User, counting, lines, wait_until


@pytest.fixture
def scratch(user: User) -> Iterator[Path]:
    """The one of the site's first job."""
    top = Path(tempfile.mkdtemp(prefix="tckpt-"))
    top.chmod(0o1777)
    made = top / "1.scratch"
    made.mkdir(mode=0o710)
    shutil.chown(made, user.uid, user.gid)
    yield made
    shutil.rmtree(top)


def test_it_is_made_again_as_it_was_and_goes_when_the_new_job_has_ended(
    site: Site, user: User, scratch: Path
) -> None:
    """The job holds nothing of it: each line is appended to a file that is closed again."""
    text = counting(40).replace("echo", 'echo line $i >> "$TMPDIR/lines"\n    echo')
    text = text.replace("exit", 'cat "$TMPDIR/lines"\nexit')
    script = user.script(text, user.directory())
    running = site.start(user, script, "-c", "enabled", "-v", f"TMPDIR={scratch}")
    assert running.number == "1"
    running.wait_for_line(5)
    assert site.call(user, "hold", running.job).returncode == 0
    assert site.call(user, "release", running.job).returncode == 0
    site.wait_for_restart(running)
    assert site.call(user, "checkpoint", running.job).returncode == 0
    running.crash()
    shutil.rmtree(scratch)

    resumed = site.resume(user, running.job, running.directory)
    resumed.wait_for_line(20)
    assert stat.S_IMODE(scratch.stat().st_mode) == 0o710
    assert resumed.wait() == 7
    assert resumed.out() == lines(40) * 2
    wait_until(lambda: not scratch.exists())


def test_a_job_that_is_to_be_held_runs_on_when_that_would_lose_what_lies_in_it(
    site: Site, user: User, scratch: Path
) -> None:
    site.configure(snapshot_limit_mib=1)
    text = counting(40).replace("i=0\n", 'i=0\nhead -c 2000000 /dev/zero > "$TMPDIR/large"\n', 1)
    script = user.script(text, user.directory())
    running = site.start(user, script, "-c", "enabled", "-v", f"TMPDIR={scratch}")
    running.wait_for_line(5)
    held = site.call(user, "hold", running.job)
    assert held.returncode != 0
    assert f"{scratch}/large: 2000000 bytes, not copied, go with the job" in held.stderr
    assert running.wait() == 7
    assert running.out() == lines(40)
