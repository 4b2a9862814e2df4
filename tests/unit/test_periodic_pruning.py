# SPDX-License-Identifier: MIT
"""The periodic service prunes once in a while, a failure is no reason to stop, and nothing is told
at each round again."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable

import pytest

from torqueckpt import log
from torqueckpt.errors import StoreMissing
from torqueckpt.ifl.records import Job
from torqueckpt.images import prune
from torqueckpt.node import housekeeping, periodic
from torqueckpt.node.periodic import Periodic
from torqueckpt.process.worker import WorkerFailed
from torqueckpt.settings import Settings


class _Left(Exception):
    """How a test leaves a service that runs for ever."""


@pytest.mark.parametrize(("minutes", "expected"), [(0, 0), (1, 2), (60, 1)])
def test_it_prunes_at_its_interval_though_it_looks_more_often(
    root: None, monkeypatch: pytest.MonkeyPatch, minutes: int, expected: int
) -> None:
    now, pruned, before = [0.0], [], log.lines().count("prune: store /x")

    class Server:
        is_silent = False

        def close(self) -> None:
            return None

        def jobs(self, *_: object) -> list[object]:
            return []

    class AtOnce:
        """A worker that has done its work by the time that it is asked."""

        def __init__(self, work: Callable[[], object], seconds: float) -> None:
            with pytest.raises(StoreMissing) as failed:
                work()
            self._failure = str(failed.value)

        def is_over(self) -> bool:
            return True

        def result(self, kind: object) -> object:
            raise WorkerFailed(self._failure)

    def sleep(seconds: float) -> None:
        now[0] += seconds
        if now[0] >= 90:
            raise _Left

    def failing(*given: object) -> None:
        pruned.append(given[0])
        raise StoreMissing(path="/x", remedy="none")

    monkeypatch.setattr(housekeeping, "connect", lambda *_: Server())
    monkeypatch.setattr(periodic, "ServerWorkers", lambda *_: Server())
    monkeypatch.setattr(housekeeping, "RootWorker", AtOnce)
    monkeypatch.setattr(periodic.time, "sleep", sleep)
    monkeypatch.setattr(periodic.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(prune, "prune", failing)
    service = Periodic(Settings(prune_interval_minutes=minutes, periodic_poll_seconds=10))
    with pytest.raises(_Left):
        service.serve(None)
    assert pruned == [None] * expected
    told = log.lines().count("prune: store /x") - before
    assert told == min(expected, 1), "a failure that lasts is told once"


def test_a_job_whose_checkpoint_option_nobody_can_read_is_told_of_once(root: None) -> None:
    facts = {"job_state": "R", "exec_host": f"{socket.gethostname()}/0", "Checkpoint": "c=never"}

    class Server:
        is_openpbs = False

        def jobs(self, attributes: Iterable[str] = (), *, where: str = "") -> list[Job]:
            return [Job("7.odd", facts)]

        def job(self, job_id: str) -> Job:
            return Job(job_id, facts)

        def checkpoint(self, job_id: str) -> None:
            raise AssertionError("it is in no state for that")

    service = Periodic(Settings())
    for _ in range(3):
        service.round(Server())
    assert log.lines().count("7.odd: ") == 1
