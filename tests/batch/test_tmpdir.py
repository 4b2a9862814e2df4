# SPDX-License-Identifier: MIT
"""What lies in $TMPDIR, which MOM makes below its $tmpdir for each job and empties at its end."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.batch.private import PrivateBatch
from tests.support import User, lines

# Lines go to a file that is open for an instant only, one file has not been touched since; the
# directories have modes that no umask gives.
_SCRIPT = """#!/bin/bash
umask 022
chmod 710 $TMPDIR
mkdir $TMPDIR/below $TMPDIR/empty
echo whole > $TMPDIR/below/settled
chmod 640 $TMPDIR/below/settled
chmod 2750 $TMPDIR/below
chmod 1700 $TMPDIR/empty
ln -s below/settled $TMPDIR/link
{begin}
for i in $(seq 60); do
    echo line $i >> $TMPDIR/lines
    echo line $i
    sleep 0.1
done
cat $TMPDIR/link
stat -c '%a %n' . $TMPDIR/below $TMPDIR/empty $TMPDIR/below/settled | sed "s,/[^ ]*/,,"
cat $TMPDIR/lines
exit 7
"""


@pytest.fixture
def scratch(server: PrivateBatch) -> Iterator[Path]:
    """MOM's $tmpdir, of jobs that are held."""
    server.skip_where_holds_are_lost()
    before = server.mom_config.read_text()
    found = [line.split()[1] for line in before.splitlines() if line.startswith("$tmpdir ")]
    if found:
        yield Path(found[0])
        return
    made = server.root / "scratch"
    made.mkdir()
    made.chmod(0o1777)
    server.kill_mom()
    server.mom_config.write_text(f"{before}$tmpdir {made}\n")
    server.start_mom()
    server.wait_until_free()
    yield made
    server.kill_mom()
    server.mom_config.write_text(before)
    server.start_mom()
    server.wait_until_free()
    made.rmdir()


def _expected(where: str) -> str:
    modes = f"{where} .\n2750 below\n1700 empty\n640 settled\n"
    return f"{lines(60)}whole\n{modes}{lines(60)}"


@pytest.mark.parametrize(
    ("begin", "where"),
    [("cd $TMPDIR", "710"), ("cd /; exec 7>> $TMPDIR/opened", "755"), ("cd /", "755")],
)
def test_it_is_whole_after_a_hold_and_its_files_and_modes_are_those_of_before(
    server: PrivateBatch, owner: User, directory: Path, scratch: Path, begin: str, where: str
) -> None:
    script = owner.script(_SCRIPT.format(begin=begin), directory)
    job = server.start_job(owner, script, *server.holdable)
    server.wait_for_line(job, 15)
    server.hold(job, owner)
    if server.name == "torque":  # OpenPBS's stays while the job is held
        server.wait(lambda: not _named_for(job, server.inside(scratch)), "MOM's removal of it")
    server.release(job, owner)
    assert server.wait_for_exit(job) == "7"
    assert server.delivered(job, directory) == (_expected(where), "")
    server.wait(lambda: not _named_for(job, server.inside(scratch)), "MOM's removal of it")


def test_it_is_made_again_for_a_new_job_and_goes_with_it(
    server: PrivateBatch, owner: User, directory: Path, scratch: Path
) -> None:
    script = owner.script(_SCRIPT.format(begin="cd $TMPDIR"), directory)
    job = server.start_job(owner, script, *server.holdable)
    server.wait_for_line(job, 15)
    server.hold(job, owner)
    server.check("qdel", job, user=owner)
    server.wait(lambda: server.state(job) in (server.ended_state, ""), "the job's end")
    server.wait(lambda: not _named_for(job, server.inside(scratch)), "MOM's removal of it")
    resumed = server.resume(job, owner, directory)
    server.wait_for_line(resumed, 30)
    (made,) = _named_for(job, server.inside(scratch))
    assert stat.S_IMODE(made.stat().st_mode) == 0o710
    assert server.wait_for_exit(resumed, 90) == "7"
    assert server.delivered(resumed, directory) == (_expected("710"), "")
    assert _named_for(job, server.inside(scratch)) == []


def _named_for(job: str, scratch: Path) -> list[Path]:
    return [each for each in scratch.iterdir() if job in each.name]
