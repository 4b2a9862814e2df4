# SPDX-License-Identifier: MIT
"""`torqueckpt hold` of a batch system's job, with a server that is made up: the job lives on until
its image is safe and its resume job waits."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.unit import samples
from torqueckpt.errors import CheckpointRefused, NotSubmitted
from torqueckpt.identity import Owner
from torqueckpt.ifl import errors
from torqueckpt.ifl.records import Job
from torqueckpt.process import privileges
from torqueckpt.resubmit import hold, resubmit, resume_script
from torqueckpt.resubmit.resume_script import ResumeSource
from torqueckpt.safe_files import Directory
from torqueckpt.settings import Settings
from torqueckpt.store import journal
from torqueckpt.store.store import OwnerStore

JOB, NEW = "1.srv", "2.srv"
LOST = errors.JobLost(call="pbs_checkpointjob", text="Job not found", number=15086)
REFUSED = errors.BadState(call="pbs_checkpointjob", text="not now", number=15018)
BUSY_MOM = errors.Unclear(call="pbs_sigjob", text="Time out", number=15085)


def me() -> Owner:
    return privileges.owner_of_uid(os.getuid())


class Server:
    """Its MOM notes in the journal what becomes of a checkpoint; done: what it was asked."""

    def __init__(self, store: OwnerStore, notes: dict[str, object], **changes: str) -> None:
        here = os.uname().nodename
        told = {"job_state": "R", "exec_host": f"{here}/0", "Checkpoint": "enabled", **changes}
        self.job_now = Job(JOB, {"Job_Owner": f"{me().name}@srv", **told})
        self.store, self.notes, self.done = store, dict(notes), list[str]()
        self.says: dict[str, Exception] = {}
        self.ends_by = ("signal", "delete")

    def job(self, job_id: str, attributes: Iterable[str] = (), *, ended: bool = False) -> Job:
        return self.job_now

    def job_runs(self, job_id: str) -> bool:
        return not set(self.ends_by) & set(self.done)

    def checkpoint(self, job_id: str) -> None:
        if self.notes.get("event") == "none":  # the server's own word alone
            self.job_now = Job(JOB, {**self.job_now.attributes, **self.notes})
        elif self.notes:
            journal.note(self.store, str(self.notes.pop("event")), JOB, **self.notes)
        self._asked("checkpoint")

    def signal(self, job_id: str, signal: str) -> None:
        assert signal == "SIGKILL"
        self._asked("signal")

    def delete(self, job_id: str) -> None:
        self._asked("delete")

    def _asked(self, what: str) -> None:
        self.done.append(what)
        if what in self.says:
            raise self.says[what]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold, "_QUIET_SECONDS", 0.3)
    monkeypatch.setattr(hold, "_ENDS_SECONDS", 0.4)
    monkeypatch.setattr(hold, "_refuse_root", lambda name: None)


@pytest.fixture
def store(tmp_path: Path) -> OwnerStore:
    home = tmp_path.resolve() / "jobs" / me().name
    home.mkdir(parents=True, mode=0o700)
    store = OwnerStore(Directory.open(home))
    store.belongs(JOB, store.make_lineage(f"{JOB}@1700000000"))
    return store


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Generations of which a resume job was submitted, on hold."""
    found: list[int] = []

    def image_of(name: str, owner: Owner, settings: Settings, number: int) -> ResumeSource:
        found.append(number)
        return ResumeSource(samples.a_manifest(), [])

    def submit(*_: object, held: bool) -> str:
        assert held
        return NEW

    monkeypatch.setattr(resume_script, "image_of", image_of)
    monkeypatch.setattr(resubmit, "as_known", lambda image, settings: image)
    monkeypatch.setattr(resubmit, "submit", submit)
    return found


def held(server: Server, told: list[str] | None = None, shared: bool = False) -> str:
    place = server.store.path.parent.parent
    settings = Settings(store=place, store_shared=shared, dump_wait_seconds=0)
    lines = told if told is not None else []
    return hold.hold(JOB, me(), settings, server, lines.append)  # type: ignore[arg-type]


MADE = {"event": "checkpoint", "generation": 3}


@pytest.mark.parametrize("says", [{}, {"checkpoint": LOST}])
def test_it_ends_once_its_resume_job_waits_whatever_the_server_says(
    store: OwnerStore, submitted: list[int], says: dict[str, Exception]
) -> None:
    server, told = Server(store, MADE), list[str]()
    server.says = says
    assert held(server, told) == NEW
    assert (server.done, submitted) == (["checkpoint", "signal"], [3])
    assert told == [f"{JOB} has ended with image 3; {NEW} goes on from it after: qrls {NEW}"]


@pytest.mark.parametrize(
    ("notes", "says", "why"),
    [
        ({"event": "checkpoint-failed", "reason": "shared memory"}, {}, "shared memory"),
        ({"event": "checkpoint-failed", "reason": "it is"}, {"checkpoint": LOST}, "it is"),
        ({}, {"checkpoint": REFUSED}, "not now"),
        ({"event": "none", "comment": "criu is missing"}, {}, "criu is missing"),
        ({"event": "none", "job_state": "C"}, {}, "it ended meanwhile"),
        ({}, {"checkpoint": LOST}, "its MOM takes no checkpoint"),
        ({}, {}, "its MOM takes no checkpoint"),
    ],
)
def test_without_an_image_it_runs_on(
    store: OwnerStore,
    submitted: list[int],
    notes: dict[str, object],
    says: dict[str, Exception],
    why: str,
) -> None:
    server = Server(store, notes)
    server.says = says
    with pytest.raises(CheckpointRefused, match=f"{JOB} is not held: .*{why}.*as it was"):
        held(server)
    assert (server.done, submitted) == (["checkpoint"], [])


def test_where_its_resume_job_is_refused_it_runs_on(
    store: OwnerStore, submitted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, held: bool) -> str:
        raise NotSubmitted(job=JOB, reason="queue is full")

    monkeypatch.setattr(resubmit, "submit", refused)
    server = Server(store, MADE)
    with pytest.raises(NotSubmitted, match="queue is full"):
        held(server)
    assert server.done == ["checkpoint"]


@pytest.mark.parametrize(("ends_by", "told"), [("delete", "has ended"), ("", "does not end")])
def test_a_job_that_no_signal_ends_is_deleted_and_one_that_stays_is_told(
    store: OwnerStore, submitted: list[int], ends_by: str, told: str
) -> None:
    server, lines = Server(store, MADE), list[str]()
    server.says, server.ends_by = {"signal": BUSY_MOM}, (ends_by,)
    assert held(server, lines) == NEW
    assert server.done == ["checkpoint", "signal", "delete"]
    assert told in lines[-1] and f"qrls {NEW}" in lines[-1] or f"qdel {JOB}" in lines[-1]


@pytest.mark.parametrize(
    ("changes", "shared", "why"),
    [
        ({"job_state": "Q"}, False, "does not run"),
        ({"Checkpoint": "n"}, False, "-c n"),
        ({"exec_host": "a/0+b/0"}, False, "2 nodes"),
        ({"exec_host": "elsewhere/0"}, False, "on elsewhere: hold it there"),
        ({"exec_host": "elsewhere/0"}, True, ""),
    ],
)
def test_what_cannot_be_held_is_not_touched(
    store: OwnerStore, submitted: list[int], changes: dict[str, str], shared: bool, why: str
) -> None:
    server = Server(store, MADE, **changes)
    if not why:
        assert held(server, shared=shared) == NEW
        return
    with pytest.raises(CheckpointRefused, match=why):
        held(server, shared=shared)
    assert server.done == []


def test_root_submits_no_jobs(store: OwnerStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(os, "getuid", lambda: 0)
    server = Server(store, MADE)
    with pytest.raises(NotSubmitted, match="root submits no jobs"):
        held(server)
    assert server.done == []
