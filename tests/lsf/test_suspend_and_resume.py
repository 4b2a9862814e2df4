# SPDX-License-Identifier: MIT
"""The six steps of a site's design for LSF, with real processes and real dumps."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.job.test_checkpointers import KINDS, configure
from tests.lsf.sbatchd import COUNTING, LsfJob, Sbatchd
from tests.support import Site, User, alive

COUNT = """
import itertools
for i in itertools.count(1):
    print("line", i)
    time.sleep(0.1)
    if os.path.exists(os.environ["LS_SUBCWD"] + "/finish"):
        raise SystemExit(7)
"""
MEMORY = """#!/usr/bin/python3 -u
import os, time
held = os.urandom(1 << 20) * 160
{count}"""
CONNECTED = """#!/usr/bin/python3 -u
import os, socket, time
line = socket.create_connection(("127.0.0.1", {port}))
{count}"""


@pytest.fixture
def port() -> Iterator[int]:
    """Of a program outside of the job."""
    with socket.create_server(("127.0.0.1", 0)) as ear:
        yield ear.getsockname()[1]


def last(lsf: Sbatchd, event: str) -> dict[str, object]:
    return [each for each in lsf.journal() if each["event"] == event][-1]


def failing(site: Site, verb: str, how: str) -> None:
    """From now on CRIU does this instead of a dump, or of a restore."""
    program = site.root / f"failing-{verb}"
    criu = site.root / "lib/torqueckpt/criu/criu"
    program.write_text(f'#!/bin/sh\n[ "$1" != {verb} ] || {{ {how}; }}\nexec {criu} "$@"\n')
    program.chmod(0o755)
    site.configure(criu_path=str(program))


def counting(lsf: Sbatchd) -> LsfJob:
    job = lsf.bsub(script=COUNTING)
    job.wait_for_line(5)
    return job


def test_a_job_that_is_never_suspended_ends_with_its_own_status(lsf: Sbatchd) -> None:
    job = lsf.bsub(script=COUNTING)
    lsf.complete(job)
    assert not job.directory.exists()


@pytest.mark.parametrize("session", [False, True], ids=["in sbatchd's session", "res leads one"])
def test_suspended_three_times_each_line_comes_once_and_the_status_is_kept(
    lsf: Sbatchd, session: bool
) -> None:
    lsf.session = session
    job = counting(lsf)
    for line in (5, 15, 25):
        job.wait_for_line(line)
        lsf.bstop(job)
        assert job.tree() == []
        assert alive(job.starter())
        lsf.bresume(job)
    lsf.complete(job)
    assert lsf.log == []
    done = [(e["event"], e["batch"], e["queue"], e["job"]) for e in lsf.journal()]
    assert done == [(e, "lsf", "preemptable", "101") for e in ("checkpoint", "restart") * 3]


def test_the_memory_of_a_suspended_job_is_free(lsf: Sbatchd) -> None:
    job = lsf.bsub(script=MEMORY.format(count=COUNT))
    job.wait_for_line(3)
    before = job.rss_mib()
    lsf.bstop(job)
    after = job.rss_mib()
    print(f"memory of the job: {before} MiB running, {after} MiB suspended")
    assert before > 160 and after < 60
    lsf.bresume(job)
    assert job.rss_mib() > 160
    lsf.complete(job)


def test_a_job_with_an_open_connection_is_stopped_instead(lsf: Sbatchd, port: int) -> None:
    job = lsf.bsub(script=CONNECTED.format(port=port, count=COUNT))
    job.wait_for_line(3)
    lsf.bstop(job)
    assert job.states() == {"T"}
    noted = last(lsf, "checkpoint-failed")
    assert f"TCP connection to 127.0.0.1:{port}" in str(noted["reason"])
    assert (noted["job"], noted["batch"], noted["queue"]) == ("101", "lsf", "preemptable")
    lsf.restart()
    assert job.states() == {"T"}
    lsf.bresume(job)
    lsf.complete(job)


@pytest.mark.parametrize("how", ["exit 52", "kill -9 $$", "exit 0"])
def test_a_job_whose_dump_fails_is_stopped_and_runs_on_later(
    lsf: Sbatchd, site: Site, how: str
) -> None:
    job = counting(lsf)
    failing(site, "dump", how)
    lsf.bstop(job)
    assert job.states() == {"T"}
    assert last(lsf, "checkpoint-failed")["job"] == "101"
    lsf.bresume(job)
    lsf.complete(job)


def test_a_sites_post_exec_has_the_images_go_with_the_job(lsf: Sbatchd, site: Site) -> None:
    delete = f"{site.program} delete $LSB_JOBID"
    lsf.post_exec = f"{delete}; {lsf.post_exec}"
    job = counting(lsf)
    lsf.bstop(job)
    assert len(site.rows("101")) == 1
    lsf.bresume(job)
    lsf.complete(job)
    assert site.rows() == [] and not job.directory.exists()


def test_a_door_that_is_killed_when_the_image_is_safe_has_suspended_the_job(
    lsf: Sbatchd, site: Site
) -> None:
    job = counting(lsf)
    door = site.root / "lib/torqueckpt/rootdoor"
    text = door.read_text()
    door.write_text(text.replace("sys.exit(", "sys.stdout = None; sys.exit("))  # it gives no answer
    lsf.bstop(job)
    assert job.tree() == [] and alive(job.starter())
    door.write_text(text)
    lsf.bresume(job)
    lsf.complete(job)


def test_a_door_that_does_not_open_leaves_the_job_stopped(lsf: Sbatchd, site: Site) -> None:
    job = counting(lsf)
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
    job = counting(lsf)
    for _ in range(2):  # the second with descriptors that have been behind the output once already
        lsf.bstop(job)
        failing(site, "restore", "exit 1")
        lsf.bresume(job)
        assert job.tree() == [] and alive(job.starter())
        assert lsf.log[-1] == "job 101: action ended with 97"
        assert "job 101 stays suspended, its image is kept: " in job.spooled()
        assert "restore of generation" in job.spooled()
        site.configure()
        lsf.bstop(job)
        assert job.tree() == []
        lsf.bresume(job)
        job.wait_for_line(10)
    lsf.complete(job)


def test_a_damaged_image_is_not_resumed_from(lsf: Sbatchd, site: Site) -> None:
    job = counting(lsf)
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
    job = counting(lsf)
    lsf.bstop(job)
    lsf.restart()
    lsf.restart()
    assert len(lsf.site.rows("101")) == 1
    lsf.bresume(job)
    lsf.complete(job)
    assert lsf.log == []


@pytest.mark.parametrize("kind", KINDS[1:])
def test_any_checkpointer_stands_behind_the_actions(lsf: Sbatchd, site: Site, kind: str) -> None:
    configure(site, kind)
    job = counting(lsf)
    for _ in range(2):
        lsf.bstop(job)
        assert job.tree() == [], lsf.journal()
        lsf.bresume(job)
    assert lsf.site.rows("101")[-1]["checkpointer"] == kind
    lsf.complete(job)
    assert lsf.log == []


@pytest.mark.parametrize(
    ("kind", "said"), [("blcr", "TCP socket, descriptor"), ("altix", "TCP connection to 127.0.0.1")]
)
def test_an_open_connection_has_the_job_stopped_whatever_the_checkpointer(
    lsf: Sbatchd, site: Site, port: int, kind: str, said: str
) -> None:
    configure(site, kind)
    job = lsf.bsub(script=CONNECTED.format(port=port, count=COUNT))
    job.wait_for_line(3)
    lsf.bstop(job)
    assert job.states() == {"T"}
    assert said in str(last(lsf, "checkpoint-failed")["reason"])


def test_without_a_starter_the_job_is_stopped_and_continued(lsf: Sbatchd, user: User) -> None:
    lsf.starter = "%USRCMD"
    job = counting(lsf)
    lsf.bstop(job)
    assert {Path(f"/proc/{pid}/stat").read_text().split()[2] for pid in job.processes()} == {"T"}
    lsf.bresume(job)
    lsf.complete(job)
