# SPDX-License-Identifier: MIT
"""What docs/tutorial.md has users of TORQUE and of OpenPBS type, typed by one."""

from __future__ import annotations

import shlex
from pathlib import Path

from tests import pages
from tests.batch.private import PrivateBatch
from tests.support import User, count_script, lines

_PAGE = pages.TOP / "docs" / "tutorial.md"


def test_the_tutorial(server: PrivateBatch, owner: User, directory: Path) -> None:
    blocks = pages.fenced(pages.section(_PAGE, f"On {server.title}"))
    (typed,) = (block for block in blocks if block.startswith("qsub -c "))
    first, *rest = map(shlex.split, typed.splitlines())
    owner.script(count_script(120, 0.05), directory)
    done = server.run(*first, user=owner, directory=directory)
    assert done.returncode == 0, done.stderr
    job = done.stdout.strip()
    server.wait_until_running(job)
    server.wait_for_line(job, 3)
    session = int(server.full_status(job)["session_id"])
    assert [words[0] for words in rest] == [*server.checkpoint_commands, "qhold", "qrls"]
    for ask, named in rest:
        assert named == "12.server"
        if ask == "qrls":
            server.release(job, owner)  # 4.2.10 wants more than that: docs/torque.md
            continue
        before = server.newest(job)
        if ask == "qhold":
            server.hold(job, owner)
            assert server.session(session) == []
            server.wait_for_image(job, before)
        else:
            server.take_image(job, owner)
    assert server.wait_for_exit(job) == "7"
    assert all(row["whole"] for row in server.images(job))
    assert server.delivered(job, directory)[0] == lines(120)
