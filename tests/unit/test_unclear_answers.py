# SPDX-License-Identifier: MIT
"""A server that does not say whether MOM took a checkpoint: it is not taken a second time."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from torqueckpt.checkpoint import turns
from torqueckpt.ifl import errors
from torqueckpt.ifl.records import Job
from torqueckpt.node import periodic, periodic_images
from torqueckpt.node.periodic import Periodic
from torqueckpt.node.periodic_images import Looks, Seen
from torqueckpt.settings import Settings

JOB = "1.srv"
SAYS = {
    "TRQ-4388": errors.JobLost(call="pbs_checkpointjob", text="Job not found", number=15086),
    "MOM is slow": errors.Unclear(call="pbs_checkpointjob", text="Time out", number=15085),
    "server is slow": errors.CallTimedOut(call="pbs_checkpointjob", seconds=60),
}


class Server:
    is_openpbs = False

    def __init__(self, says: Exception) -> None:
        self.says, self.asked = says, 0

    def jobs(self, attributes: Iterable[str] = (), *, where: str = "") -> list[Job]:
        told = {"job_state": "R", "exec_host": f"{os.uname().nodename}/0", "Checkpoint": "c=60"}
        return [Job(JOB, {**told, "Job_Owner": "root@srv"})]

    def job(self, job_id: str, attributes: Iterable[str] = (), *, ended: bool = False) -> Job:
        return self.jobs()[0]

    def checkpoint(self, job_id: str) -> None:
        self.asked += 1
        raise self.says


class Node:
    """A service with its clock, what it sees of the job, and the jobs whose hook it has called."""

    def __init__(self, says: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.server, self.hooks = time.time(), Server(says), list[str]()
        self.seen = Seen(JOB, looked=True)
        self.service = Periodic(Settings(periodic_grace_seconds=0))
        monkeypatch.setattr(time, "time", lambda: self.now)
        monkeypatch.setattr(periodic_images, "_look", lambda *_: Looks((self.seen,), ()))
        began = self.now - 4000
        monkeypatch.setattr(periodic_images, "started", lambda job: began)
        hooks = self.service._hooks
        monkeypatch.setattr(hooks, "add", lambda job: self.hooks.append(job.id))
        monkeypatch.setattr(hooks, "wait", lambda: [])

    def round(self, later: float, stays: bool = True, **seen: object) -> None:
        self.now += later
        self.seen = Seen(JOB, looked=True)._replace(**seen)
        self.service.round(self.server, stays)  # type: ignore[arg-type]


@pytest.mark.parametrize("says", SAYS.values(), ids=SAYS)
def test_a_service_looks_for_the_image_before_it_calls_the_hook(
    root: None, monkeypatch: pytest.MonkeyPatch, says: Exception
) -> None:
    node = Node(says, monkeypatch)
    node.round(0)
    node.round(5, busy=True)
    node.round(60, busy=True)  # a large job's dump
    node.round(5, created=int(node.now))
    node.round(5, created=int(node.now))
    assert (node.server.asked, node.hooks) == (1, [])


def test_the_hook_is_called_once_where_mom_has_not_begun(
    root: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node(SAYS["TRQ-4388"], monkeypatch)
    for _ in range(4):
        node.round(periodic._UNCLEAR_SECONDS / 2)
    assert (node.server.asked, node.hooks) == (1, [JOB])


def test_a_checkpoint_that_waits_for_its_turn_on_the_node_is_one_that_has_begun(
    root: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    waits = {(JOB, 0)}
    monkeypatch.setattr(turns, "has_one", lambda *which: which in waits)
    wanted = [periodic_images.Wanted(Job(JOB, {"euser": "root"}), False, False)]
    for busy in (True, False):
        seen = periodic_images._look("root", wanted, False, Settings(store=tmp_path))
        assert (seen.jobs[0].busy, seen.problems) == (busy, ())
        waits.clear()
    node = Node(SAYS["TRQ-4388"], monkeypatch)
    node.round(0)
    for _ in range(9):
        node.round(periodic._UNCLEAR_SECONDS / 2, busy=True)
    assert node.hooks == []
    node.round(1)
    assert node.hooks == [JOB]


def test_one_round_from_cron_cannot_look_again(root: None, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(SAYS["TRQ-4388"], monkeypatch)
    node.round(0, stays=False)
    assert (node.server.asked, node.hooks) == (1, [JOB])


@pytest.mark.parametrize(
    ("number", "openpbs", "unclear"),
    [(15086, False, True), (15085, False, True), (15033, False, True), (15031, True, True)]
    + [(15001, False, False), (15018, False, False), (15086, True, False), (15072, False, False)],
)
def test_which_answers_are_unclear(number: int, openpbs: bool, unclear: bool) -> None:
    kind = errors.error_class(number, openpbs)
    assert issubclass(kind, errors.Unclear) == unclear
    assert issubclass(kind, errors.UnknownJob) == (number in (15001, 15086) and not openpbs)
