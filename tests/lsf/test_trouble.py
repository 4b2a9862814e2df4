# SPDX-License-Identifier: MIT
"""LSF's jobs when something fails: the job and its image survive, and LSF is not misled."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.lsf.sbatchd import COUNTING, Sbatchd
from tests.lsf.test_signals_and_commands import waiting_criu
from tests.support import Site, User, alive, wait_until

HOSTILE = """
import contextlib, socket, sys, time
name = chr(0) + sys.argv[1][1:]
first, second, own = [socket.socket(socket.AF_UNIX) for _ in range(3)]
first.connect(name)
second.connect(name)
with contextlib.suppress(OSError):
    first.sendall(b'{"verb": "suspend", "after": ""}\\n')
own.bind(name[:-16] + "0" * 16)
own.listen()
if second.recv(100) == b"":
    print("nobody answers", flush=True)
time.sleep(60)
"""


def failing(site: Site, verb: str, how: str) -> None:
    """From now on CRIU does this instead of a dump, or of a restore."""
    program = site.root / f"failing-{verb}"
    criu = site.root / "lib/torqueckpt/criu/criu"
    program.write_text(f'#!/bin/sh\n[ "$1" != {verb} ] || {{ {how}; }}\nexec {criu} "$@"\n')
    program.chmod(0o755)
    site.configure(criu_path=str(program))


@pytest.mark.parametrize("how", ["exit 52", "kill -9 $$", "exit 0"])
def test_a_job_whose_dump_fails_is_stopped_and_runs_on_later(
    lsf: Sbatchd, site: Site, how: str
) -> None:
    job = lsf.counting()
    failing(site, "dump", how)
    lsf.bstop(job)
    assert job.states() == {"T"}
    assert lsf.noted("checkpoint-failed")["job"] == "101"
    lsf.bresume(job)
    lsf.complete(job)


def test_a_door_that_is_killed_when_the_image_is_safe_has_suspended_the_job(
    lsf: Sbatchd, site: Site
) -> None:
    job = lsf.counting()
    door = site.root / "lib/torqueckpt/rootdoor"
    text = door.read_text()
    door.write_text(text.replace("sys.exit(", "sys.stdout = None; sys.exit("))  # it gives no answer
    lsf.bstop(job)
    assert job.tree() == [] and alive(job.starter())
    door.write_text(text)
    lsf.bresume(job)
    lsf.complete(job)


def test_a_door_that_does_not_open_leaves_the_job_stopped(lsf: Sbatchd, site: Site) -> None:
    job = lsf.counting()
    door = site.root / "lib/torqueckpt/rootdoor"
    door.rename(door.with_name("away"))
    lsf.bstop(job)
    assert job.states() == {"T"}
    lsf.bresume(job)
    door.with_name("away").rename(door)
    lsf.bstop(job)
    assert job.tree() == []
    lsf.bresume(job)
    lsf.complete(job)


def test_a_failed_restore_costs_neither_the_job_nor_its_image(lsf: Sbatchd, site: Site) -> None:
    job = lsf.counting()
    for _ in range(2):  # the second with descriptors that have been behind the output once already
        lsf.bstop(job)
        failing(site, "restore", "exit 1")
        lsf.bresume(job)
        assert job.tree() == [] and alive(job.starter())
        assert lsf.log[-1] == "job 101: action ended with 98"
        assert "job 101 stays suspended, its image is kept: " in job.spooled()
        assert "restore of generation" in job.spooled()
        site.configure()
        lsf.bstop(job)
        assert job.tree() == []
        lsf.bresume(job)
        job.wait_for_line(10)
    lsf.complete(job)


def test_a_job_that_is_killed_because_it_cannot_be_resumed_keeps_its_image(
    lsf: Sbatchd, site: Site
) -> None:
    job = lsf.counting()
    lsf.bstop(job)
    site.configure(criu_path="/bin/false")
    lsf.bresume(job)
    lsf.bkill(job)
    assert lsf.wait(job) == 143
    assert "could not be restarted from it: not deleted" in lsf.log[-1]
    assert job.directory.exists() and len(site.rows("101")) == 1


def test_a_damaged_image_is_not_resumed_from(lsf: Sbatchd, site: Site) -> None:
    job = lsf.counting()
    lsf.bstop(job)
    (image,) = site.store.glob("jobs/*/*@*/1/image/inventory.img")
    image.rename(image.with_name("gone"))
    lsf.bresume(job)
    assert job.tree() == [] and "inventory.img" in job.spooled()
    image.with_name("gone").rename(image)
    lsf.bstop(job)
    lsf.bresume(job)
    lsf.complete(job)


def test_sbatchd_suspends_a_suspended_job_again_when_it_is_restarted(lsf: Sbatchd) -> None:
    job = lsf.counting()
    lsf.bstop(job)
    lsf.restart()
    lsf.restart()
    assert len(lsf.site.rows("101")) == 1
    lsf.bresume(job)
    lsf.complete(job)
    assert lsf.log == []


def test_a_later_job_of_the_same_number_is_another_job(lsf: Sbatchd, site: Site) -> None:
    lsf.post_exec = '/bin/rm -Rf "$LSB_CHKPNT_DIR"'  # of a site that wants to keep its images
    for _ in range(2):
        lsf.last = 100
        job = lsf.counting()
        lsf.bstop(job)
        lsf.bresume(job)
        lsf.complete(job)
        (lsf.home / "finish").unlink()
    assert len({row["lineage"] for row in site.rows()}) == 2


def test_a_requeued_job_that_was_killed_while_it_was_saved_begins_anew(
    lsf: Sbatchd, site: Site
) -> None:
    lsf.post_exec = '/bin/rm -Rf "$LSB_CHKPNT_DIR"'
    job = lsf.counting()
    lsf.bstop(job)
    lsf.bkill(job)
    assert lsf.wait(job) == 143
    lsf.last = 100
    again = lsf.counting()
    lsf.bstop(again)
    lsf.bresume(again)
    lsf.complete(again)
    assert len({row["lineage"] for row in site.rows()}) == 2


def test_a_job_on_several_hosts_is_stopped(lsf: Sbatchd) -> None:
    job = lsf.bsub(script=COUNTING, start=False)
    job.environment["LSB_HOSTS"] = "node1 node1 node2"
    lsf.start(job)
    job.wait_for_line(3)
    lsf.bstop(job)
    assert job.states() == {"T"}
    assert "a job on 2 nodes" in str(lsf.noted("checkpoint-failed")["reason"])
    lsf.bresume(job)
    lsf.complete(job)


def test_lsf_may_move_the_directory_of_a_suspended_job(lsf: Sbatchd) -> None:
    job = lsf.counting()
    lsf.bstop(job)
    moved = job.directory.rename(job.directory.with_name("moved"))
    job.out = moved / job.out.name
    lsf.bresume(job)
    lsf.complete(job)


def test_another_user_can_neither_suspend_the_job_nor_keep_lsf_from_it(
    lsf: Sbatchd, user: User, other_user: User
) -> None:
    job = lsf.counting()
    rows = Path("/proc/net/unix").read_text().splitlines()
    begin = f"@torqueckpt-lsf/{user.uid}/101/"
    (name,) = [row.split()[7] for row in rows if begin in row]
    argv = other_user.argv("/usr/bin/python3", "-c", HOSTILE, name)
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as hostile:
        assert hostile.stdout is not None and hostile.stdout.readline() == b"nobody answers\n"
        assert job.tree() != [] and "T" not in job.states()
        lsf.bstop(job)
        assert job.tree() == []
        lsf.bresume(job)
        lsf.complete(job)
        hostile.kill()


def test_without_a_starter_the_job_is_stopped_and_continued(lsf: Sbatchd, user: User) -> None:
    lsf.starter = "%USRCMD"
    job = lsf.counting()
    lsf.bstop(job)
    wait_until(
        lambda: (
            {"T"} == {Path(f"/proc/{pid}/stat").read_text().split()[2] for pid in job.processes()}
        )
    )
    lsf.bresume(job)
    lsf.complete(job)


@pytest.mark.parametrize("suspended", [True, False])
def test_a_job_that_died_with_its_host_keeps_its_images_and_its_directory(
    lsf: Sbatchd, site: Site, suspended: bool
) -> None:
    job = lsf.counting()
    lsf.bstop(job)
    if not suspended:
        lsf.bresume(job)
    lsf.host_dies(job)
    assert "may be all that is left of a job that its host took along: not deleted" in lsf.log[-1]
    assert job.directory.exists() and len(site.rows("101")) == 1


def test_a_requeued_job_leaves_the_images_of_its_first_run_to_nobody(
    lsf: Sbatchd, site: Site
) -> None:
    job = lsf.counting()
    lsf.bstop(job)
    lsf.bkill(job, signal.SIGINT)  # as brequeue does, and LSF starts the job anew
    job.environment["LSB_JOBPEND"] = "Y"
    assert lsf.wait(job) == 130
    assert site.rows() == [] and not job.directory.exists()


def test_a_job_that_is_killed_amidst_a_restore_is_no_failure_in_the_report(
    lsf: Sbatchd, site: Site
) -> None:
    begun, go_on = waiting_criu(site, "restore", "before")
    job = lsf.counting()
    lsf.bstop(job)
    action = lsf.begin(job, lsf.resume)
    wait_until(lambda: begun.read_text())
    lsf.bkill(job)
    go_on.touch()
    lsf.finish(job, action)
    assert lsf.wait(job) == 143
    (row,) = json.loads(site.call(None, "report", "--json").stdout)
    assert (row["outcome"], row["failed"], row["reasons"]) == ("OK", 0, [])
    assert site.rows() == []
