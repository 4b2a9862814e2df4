# SPDX-License-Identifier: MIT
"""A batch server that hangs is left, and the periodic service goes on by its last list."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import wait_until
from torqueckpt import log
from torqueckpt.checkpoint import turns
from torqueckpt.ifl.errors import (
    BadState,
    CallTimedOut,
    CannotConnect,
    ConnectionClosed,
    SymbolMissing,
)
from torqueckpt.ifl.records import Job
from torqueckpt.node import hook_calls, owner_looks, periodic_images, server_workers
from torqueckpt.node.listed_jobs import concerns_us
from torqueckpt.node.periodic import Periodic
from torqueckpt.node.server_workers import ServerWorkers
from torqueckpt.settings import Settings

HERE = os.uname().nodename


class Server:
    """What a worker speaks to: it hangs, or is not there, as long as a file says so."""

    is_openpbs, server = False, "srv"

    def __init__(self, place: Path, jobs: dict[str, dict[str, Any]]) -> None:
        self._place, self._jobs = place, jobs
        if (place / "down").exists():
            raise CannotConnect(call="pbs_connect", text="refused", number=111)

    def _answers(self, call: str) -> None:
        with (self._place / "asked").open("a") as file:
            file.write(f"{call}\n")
        while (self._place / "hangs").exists():
            time.sleep(0.02)

    def jobs(self, attributes: object = (), *, where: str = "") -> list[Job]:
        self._answers("jobs")
        return [Job(name, attributes) for name, attributes in self._jobs.items()]

    def job(self, job_id: str, attributes: object = (), *, ended: bool = False) -> Job:
        self._answers("job")
        return Job(job_id, self._jobs[job_id])

    def checkpoint(self, job_id: str) -> None:
        self._answers(f"checkpoint {job_id}")
        if job_id == "2.srv":
            raise BadState(call="pbs_checkpointjob", text="not now", number=15018)
        if job_id == "3.srv":
            raise SymbolMissing(library="libpbs.so", symbol="pbs_checkpointjob")


def told(session: int = 0, **more: object) -> dict[str, Any]:
    return {
        **{"job_state": "R", "exec_host": f"{HERE}/0", "Checkpoint": "c=1", "euser": "nobody"},
        **{"session_id": str(session), "Resource_List": {"walltime": "1:00:00"}, **more},
    }


@pytest.fixture
def jobs() -> dict[str, dict[str, Any]]:
    return {"1.srv": told(), "2.srv": told(), "3.srv": told()}


@pytest.fixture
def place(
    root: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: dict[str, dict[str, Any]]
) -> Path:
    monkeypatch.setattr(server_workers, "connect", lambda *_, **__: Server(tmp_path, jobs))
    monkeypatch.setattr(server_workers, "_PATIENCE_SECONDS", 0.3)
    return tmp_path


@pytest.fixture
def server(place: Path) -> ServerWorkers:
    return ServerWorkers(Settings(), None, concerns_us, lambda: None)


def test_what_it_answers_comes_through_the_worker(
    server: ServerWorkers, jobs: dict[str, dict[str, Any]]
) -> None:
    assert server.jobs() == [Job(name, each) for name, each in jobs.items()]
    assert server.job("1.srv") == Job("1.srv", jobs["1.srv"])
    assert (server.server, server.is_openpbs, server.is_silent) == ("srv", False, False)
    server.checkpoint("1.srv")
    with pytest.raises(BadState, match="not now"):
        server.checkpoint("2.srv")
    with pytest.raises(SymbolMissing, match="pbs_checkpointjob"):
        server.checkpoint("3.srv")
    assert not server.is_silent


def test_jobs_of_other_nodes_are_not_kept_unless_they_wait_for_others(
    server: ServerWorkers, jobs: dict[str, dict[str, Any]]
) -> None:
    jobs["4.srv"] = told(exec_host="another/0")
    jobs["5.srv"] = {"job_state": "H", "depend": "afterany:1.srv"}
    jobs["6.srv"] = {"job_state": "Q"}
    assert [job.id for job in server.jobs()] == ["1.srv", "2.srv", "3.srv", "5.srv"]


def test_a_member_of_an_array_has_the_c_of_its_array_which_runs_nowhere_itself(
    place: Path, server: ServerWorkers, jobs: dict[str, dict[str, Any]], monkeypatch: Any
) -> None:
    """As OpenPBS lists them, whose MOM takes no image of members by itself."""
    jobs.clear()
    for number, spec in (("1", "w=1"), ("2", "n"), ("3", "u")):
        member = told(os.getpid())
        del member["Checkpoint"]
        jobs[f"{number}[].srv"] = {"job_state": "B", "Checkpoint": spec, "euser": "nobody"}
        jobs[f"{number}[7].srv"] = member

    def look(user: str, wanted: Any, rate_too: bool, settings: Settings) -> periodic_images.Looks:
        seen = [periodic_images.Seen(each.job.id, True, mom_has_timer=False) for each in wanted]
        return periodic_images.Looks(tuple(seen), ())

    monkeypatch.setattr(periodic_images, "_look", look)
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + 300)
    service = Periodic(Settings(jitter_seconds=0))
    assert service.round(server, stays=True) == ["1[7].srv"]
    assert "checkpoint 1[7].srv\n" in (place / "asked").read_text()


def test_one_that_hangs_is_waited_for_once_and_answers_when_it_can(
    server: ServerWorkers, place: Path
) -> None:
    (place / "hangs").touch()
    with pytest.raises(CallTimedOut):
        server.jobs()
    for _ in range(3):
        before = time.monotonic()
        with pytest.raises(CallTimedOut):
            server.jobs()
        with pytest.raises(ConnectionClosed):
            server.checkpoint("1.srv")
        assert time.monotonic() - before < 60
    assert (place / "asked").read_text() == "jobs\n"
    (place / "hangs").unlink()

    def answers() -> bool:
        try:
            return bool(server.jobs())
        except CallTimedOut:
            return False

    wait_until(answers)
    server.checkpoint("1.srv")


def test_one_that_hangs_in_the_middle_is_left_and_asked_nothing_more(
    server: ServerWorkers, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_workers, "_ANSWER_SECONDS", 0.3)
    server.jobs()
    (place / "hangs").touch()
    with pytest.raises(CallTimedOut):
        server.checkpoint("1.srv")
    with pytest.raises(ConnectionClosed):
        server.checkpoint("1.srv")
    assert (place / "asked").read_text().splitlines() == ["jobs", "checkpoint 1.srv"]


def test_one_that_is_not_there_is_silent_too(server: ServerWorkers, place: Path) -> None:
    server.jobs()
    (place / "down").touch()
    with pytest.raises(CannotConnect):
        server.jobs()
    assert server.is_silent
    (place / "down").unlink()
    assert server.jobs()


@pytest.fixture
def leader() -> Iterator[subprocess.Popen[bytes]]:
    started = subprocess.Popen(["/bin/sleep", "6000"])
    yield started
    started.kill()
    started.wait()


def test_the_service_goes_on_by_its_last_list_and_calls_the_hook(
    server: ServerWorkers,
    place: Path,
    jobs: dict[str, dict[str, Any]],
    leader: subprocess.Popen[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not for a job that has ended since; and once it answers it is asked again."""
    ended = subprocess.Popen(["/bin/sleep", "6000"])
    jobs.clear()
    jobs.update({"1.srv": told(leader.pid), "7.srv": told(ended.pid)})
    program, called = place / "hook", place / "called"
    program.write_text(f"#!/bin/sh\necho $2 >>{called}\n")
    program.chmod(0o755)
    monkeypatch.setattr(hook_calls.paths, "program", lambda *_: program)
    monkeypatch.setattr(turns, "PLACE", place)
    looks = periodic_images.Looks

    def look(user: str, wanted: Any, rate_too: bool, settings: Settings) -> looks:
        return looks(tuple(periodic_images.Seen(each.job.id, looked=True) for each in wanted), ())

    monkeypatch.setattr(periodic_images, "_look", look)
    service = Periodic(Settings(jitter_seconds=0))
    service.round(server, stays=True)
    assert (place / "asked").read_text() == "jobs\n", "nothing is due yet"
    ended.kill()
    ended.wait()
    (place / "hangs").touch()
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + 100)
    service.round(server, stays=True)
    wait_until(lambda: service._hooks.turn() or called.exists())
    service.round(server, stays=True)
    assert called.read_text() == "1.srv\n"
    assert log.lines().count("the service goes on by its list of ") == 1
    (place / "hangs").unlink()
    monkeypatch.setattr(time, "time", lambda: clock() + 300)

    def asked() -> bool:
        service.round(server, stays=True)
        return "checkpoint 1.srv" in (place / "asked").read_text()

    wait_until(asked)
    assert called.read_text() == "1.srv\n"


def test_one_owner_whose_files_hang_is_waited_for_once_and_the_others_are_seen(
    place: Path, server: ServerWorkers, jobs: dict[str, dict[str, Any]], monkeypatch: Any
) -> None:
    """A file server, or a file system of his own (FUSE), which answers or not as he likes."""
    jobs.clear()
    jobs.update({"1.srv": told(euser="slow"), "2.srv": told(euser="quick")})

    def look(user: str, wanted: Any, rate_too: bool, settings: Settings) -> periodic_images.Looks:
        while user == "slow" and (place / "files-hang").exists():
            time.sleep(0.02)
        return periodic_images.Looks(
            tuple(periodic_images.Seen(each.job.id) for each in wanted), ()
        )

    monkeypatch.setattr(periodic_images, "_look", look)
    monkeypatch.setattr(owner_looks, "_PATIENCE_SECONDS", 0.3)
    (place / "files-hang").touch()
    service = Periodic(Settings())
    service.round(server, stays=True)
    assert (set(service._looks._reached), service._looks._slow) == ({"2.srv"}, {"slow"})
    worker = service._looks._looking["slow"]
    service.round(server, stays=True)
    assert service._looks._looking["slow"] is worker
    assert log.lines().count("slow: left out until his files answer") == 1
    (place / "files-hang").unlink()

    def seen() -> bool:
        service.round(server, stays=True)
        return "1.srv" in service._looks._reached

    wait_until(seen)
    assert service._looks._slow == set()
