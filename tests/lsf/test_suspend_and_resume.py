# SPDX-License-Identifier: MIT
"""The six steps of a site's design for LSF, with real processes and real dumps."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.job.test_checkpointers import KINDS, configure
from tests.lsf.lsf_job import LsfJob
from tests.lsf.sbatchd import COUNTING, Sbatchd
from tests.support import Site, alive, stat_fields, wait_until

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


def test_a_job_that_is_never_suspended_ends_with_its_own_status(lsf: Sbatchd) -> None:
    job = lsf.bsub(script=COUNTING)
    lsf.complete(job)
    assert not job.directory.exists()


@pytest.mark.parametrize("session", [False, True], ids=["in_sbatchds_session", "res_leads_one"])
def test_suspended_three_times_each_line_comes_once_and_the_status_is_kept(
    lsf: Sbatchd, session: bool
) -> None:
    lsf.session = session
    job = lsf.counting()
    ours = {_place(job.res.pid)} if _place(job.res.pid)[1] else wait_until(lambda: _places(job))
    for line in (5, 15, 25):
        job.wait_for_line(line)
        lsf.bstop(job)
        assert job.tree() == []
        assert alive(job.starter())
        lsf.bresume(job)
        wait_until(lambda: _places(job) == ours)
    lsf.complete(job)
    assert lsf.log == []
    done = [(e["event"], e["batch"], e["queue"], e["job"]) for e in lsf.journal()[:6]]
    assert done == [(e, "lsf", "preemptable", "101") for e in ("checkpoint", "restart") * 3]


def _places(job: LsfJob) -> set[tuple[int, int]]:
    return set(map(_place, job.programs()))


def _place(pid: int) -> tuple[int, int]:
    """Process group and session; 0 for a session whose leader this container does not see."""
    group, session = stat_fields(pid)[2:4]
    return int(group), int(session)


@pytest.mark.usefixtures("installed")
def test_in_a_container_whose_session_is_led_from_outside_the_job_is_dumped_too() -> None:
    which = "test_suspended_three_times and in_sbatchds_session"
    inner = [sys.executable, "-m", "pytest", "-q", "-n0", "-k", which, __file__]
    place = ["/usr/bin/unshare", "--pid", "--fork", "--mount-proc"]
    reaps = ["/bin/sh", "-c", '"$@"; exit $?', "init"]
    done = subprocess.run([*place, *reaps, *inner], capture_output=True, text=True)
    assert "1 passed" in done.stdout, done.stdout


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
    noted = lsf.noted("checkpoint-failed")
    assert f"TCP connection to 127.0.0.1:{port}" in str(noted["reason"])
    assert (noted["job"], noted["batch"], noted["queue"]) == ("101", "lsf", "preemptable")
    lsf.restart()
    assert job.states() == {"T"}
    lsf.bresume(job)
    lsf.complete(job)


def test_the_images_go_with_the_job(lsf: Sbatchd, site: Site) -> None:
    job = lsf.counting()
    lsf.bstop(job)
    assert len(site.rows("101")) == 1
    lsf.bresume(job)
    lsf.complete(job)
    assert site.rows() == [] and not job.directory.exists()


@pytest.mark.parametrize("kind", KINDS[1:])
def test_any_checkpointer_stands_behind_the_actions(lsf: Sbatchd, site: Site, kind: str) -> None:
    configure(site, kind)
    job = lsf.counting()
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
    assert said in str(lsf.noted("checkpoint-failed")["reason"])


def test_a_job_that_is_suspended_as_soon_as_it_is_started_goes_on_later(lsf: Sbatchd) -> None:
    job = lsf.bsub(script=COUNTING)
    lsf.bstop(job)
    assert job.tree() == [] or job.states() == {"T"}
    lsf.bresume(job)
    lsf.complete(job)
