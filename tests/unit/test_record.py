# SPDX-License-Identifier: MIT
"""What a checkpoint could not look at: a restart must not take it for something new."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from torqueckpt.files.record import Look, Task, look
from torqueckpt.identity import Owner
from torqueckpt.manifest import Rule
from torqueckpt.process import privileges, proc
from torqueckpt.process.freeze import Freeze
from torqueckpt.safe_files import Directory


def _look(root: int, lineage: Path, rule: Rule) -> Look:
    freeze = Freeze()
    os.write(freeze.hook_fds[0], b"x")
    stat = proc.stat(root)
    assert stat is not None
    with Directory.open(lineage) as opened:
        task = Task(stat, (rule,), (), (), opened, "/nowhere", (), "1", 1 << 20, {})
        return look(task, freeze)


@pytest.mark.parametrize("closed", ["nothing", "file", "directory"])
def test_where_something_could_not_be_read_nothing_counts_as_new(
    user: Owner, place: Path, started: Callable[..., Popen[bytes]], closed: str
) -> None:
    """Else a restart would take it away, or fail for it each time."""
    (place / "lineage").mkdir()
    (place / "directory").mkdir()
    for file in (place / "file", place / "directory" / "inner", place / "open"):
        file.write_bytes(b"0123")
    for each in (place, *place.rglob("*")):
        os.chown(each, user.uid, user.gid)
    if closed != "nothing":
        (place / closed).chmod(0)
    process = started("/bin/sleep", "60")
    with privileges.acting_as(user):
        seen = _look(process.pid, place / "lineage", Rule(f"{place}/**", "rollback", True))
    assert str(place / "open") in {file.path for file in seen.watched}
    assert seen.rules[0].complete == (closed == "nothing")
    assert any(f"{place / closed}: " in remark for remark in seen.remarks) == (closed != "nothing")
