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


def _look(
    root: int, lineage: Path, rule: Rule, prefix: str = "1", earlier: Look | None = None
) -> Look:
    freeze = Freeze()
    os.write(freeze.hook_fds[0], b"x")
    stat = proc.stat(root)
    assert stat is not None
    with Directory.open(lineage) as opened:
        known = {file.path: file for file in earlier.watched} if earlier is not None else {}
        task = Task(stat, (rule,), (), (), opened, "/nowhere", (), prefix, 1 << 20, known)
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


@pytest.mark.parametrize(
    "lost", [None, lambda copy: copy.unlink(), lambda copy: copy.write_bytes(b"")]
)
def test_a_copy_that_is_lost_is_made_anew_by_the_next_checkpoint(
    user: Owner,
    place: Path,
    started: Callable[..., Popen[bytes]],
    lost: Callable[[Path], object] | None,
) -> None:
    (place / "lineage").mkdir()
    (place / "table").write_bytes(b"0123")
    for each in (place, *place.rglob("*")):
        os.chown(each, user.uid, user.gid)
    process, rule = started("/bin/sleep", "60"), Rule(f"{place}/table", "snapshot", True)
    copies = place / "lineage" / "copies"
    with privileges.acting_as(user):
        # settled, as it is seconds later: what has not changed since is not copied again
        first = _look(process.pid, place / "lineage", rule)
        first = first._replace(watched=tuple(each._replace(settled=True) for each in first.watched))
        assert [each.copy for each in first.watched] == ["1.0"]
        if lost is not None:
            lost(copies / "1.0")
        second = _look(process.pid, place / "lineage", rule, "2", first)
    (watched,) = second.watched
    assert watched.copy == ("1.0" if lost is None else "2.0")
    assert (copies / watched.copy).read_bytes() == b"0123"
