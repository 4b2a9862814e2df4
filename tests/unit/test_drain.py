# SPDX-License-Identifier: MIT
"""Emptying a node, with a server that is made up: what is asked of it, and what is told."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from torqueckpt.errors import NeedsRoot
from torqueckpt.identity import Owner
from torqueckpt.ifl import errors
from torqueckpt.ifl.records import Job
from torqueckpt.node import drain
from torqueckpt.node.drain import Drained
from torqueckpt.process import privileges
from torqueckpt.safe_files import Directory
from torqueckpt.settings import Settings
from torqueckpt.store import journal
from torqueckpt.store.store import OwnerStore


class Server:
    """Holds a job at once when its journal is told so; `refuses` are the jobs it does not hold."""

    def __init__(self, jobs: dict[str, dict[str, str]], refuses: tuple[str, ...] = ()) -> None:
        self.known = {
            name: {"Job_Owner": f"{me().name}@srv", **told} for name, told in jobs.items()
        }
        self.refuses = refuses
        self.done: list[tuple[str, ...]] = []

    def version(self) -> str:
        return "6.1.3"

    def jobs(self, attributes: Iterable[str] = (), *, where: str = "") -> list[Job]:
        return [Job(name, dict(told)) for name, told in self.known.items()]

    def job(self, job_id: str, attributes: Iterable[str] = (), *, ended: bool = False) -> Job:
        if job_id not in self.known:
            raise errors.UnknownJob(call="pbs_statjob", text="unknown", number=15001)
        return Job(job_id, self.known[job_id])

    def hold(self, job_id: str, hold_type: str = "u") -> None:
        self.done.append(("hold", job_id, hold_type))
        if job_id in self.refuses:
            raise errors.PermissionDenied(call="pbs_holdjob", text="no operator", number=15007)
        told = self.known[job_id]
        told["comment"] = told.get("says", told.get("comment", ""))
        after = told.get("after", "")
        if after == "gone":
            del self.known[job_id]
        elif after:
            self.known[job_id]["job_state"] = after
        raise errors.UnknownJob(call="pbs_holdjob", text="as 6.1 says it", number=15086)

    def release(self, job_id: str, hold_type: str = "u") -> None:
        self.done.append(("release", job_id, hold_type))

    def delete(self, job_id: str, extend: str | None = None) -> None:
        self.done.append(("delete", job_id))

    def comment(self, job_id: str, text: str) -> None:
        self.done.append(("comment", job_id, text))

    def set_node(self, name: str, state: str, note: str | None = None) -> None:
        self.done.append(("node", name, state))


def me() -> Owner:
    return privileges.owner_of_uid(os.getuid())


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "_refuse_users", lambda: None)
    monkeypatch.setattr(drain, "_QUIET_SECONDS", 1)
    monkeypatch.setattr(drain, "_UNKNOWN_SECONDS", 0.2)


@pytest.fixture
def owner_store(tmp_path: Path) -> OwnerStore:
    home = tmp_path.resolve() / "jobs" / me().name
    home.mkdir(parents=True, mode=0o700)
    owner_store = OwnerStore(Directory.open(home))
    for job in ("1.srv", "2.srv"):
        owner_store.belongs(job, owner_store.make_lineage(f"{job}@1700000000"))
    return owner_store


def settings(owner_store: OwnerStore, shared: bool = False) -> Settings:
    return Settings(store=owner_store.path.parent.parent, store_shared=shared)


def running(**changes: str) -> dict[str, str]:
    return {"job_state": "R", "exec_host": "node7/0", "Checkpoint": "enabled", **changes}


def test_no_job_is_touched_before_the_node_takes_no_new_ones(owner_store: OwnerStore) -> None:
    server = Server({"1.srv": running(after="H")})
    journal.note(owner_store, "checkpoint", "1.srv", ended=True)
    rows = drain.drain("node7", settings(owner_store), server)
    assert [row.outcome for row in rows] == ["held"]
    assert server.done == [
        ("node", "node7", "offline"),
        ("hold", "1.srv", "s"),
        ("comment", "1.srv", "held by torqueckpt drain of node7"),
    ]


def test_one_that_is_interrupted_tells_all_it_knows_and_can_be_undone(
    owner_store: OwnerStore,
) -> None:
    class Interrupted(Server):
        def job(self, job_id: str, attributes: Iterable[str] = (), *, ended: bool = False) -> Job:
            if job_id == "2.srv":
                raise KeyboardInterrupt
            return super().job(job_id, attributes, ended=ended)

    server = Interrupted({"1.srv": running(after="H"), "2.srv": running(after="H")})
    journal.note(owner_store, "checkpoint", "1.srv", ended=True)
    rows = drain.drain("node7", settings(owner_store), server)
    assert [(row.job, row.outcome) for row in rows] == [("1.srv", "held"), ("2.srv", "left")]
    assert "goes on, not waited for" in rows[1].what
    server.known["2.srv"]["comment"] = "held by torqueckpt drain of node7"
    assert ("comment", "2.srv", "held by torqueckpt drain of node7") in server.done
    assert ("2.srv", "released") in [(r.job, r.outcome) for r in drain.undo("node7", server)]


@pytest.mark.parametrize(
    ("job", "why"),
    [
        (running(Checkpoint="u"), "not checkpointable: -c u"),
        (running(Checkpoint="n"), "not checkpointable: -c n"),
        (running(Checkpoint="odd"), "'odd' is unknown"),
        (running(exec_host="node7/0+node8/0"), "runs on 2 nodes"),
    ],
)
def test_what_cannot_be_held_is_not_asked_to_be(
    owner_store: OwnerStore, job: dict[str, str], why: str
) -> None:
    server = Server({"1.srv": job})
    (row,) = drain.drain("node7", settings(owner_store), server)
    assert (row.outcome, why in row.what) == ("left", True)
    assert server.done == [("node", "node7", "offline")]


def test_that_openpbs_holds_no_member_of_an_array_is_told_whatever_c_its_array_has(
    owner_store: OwnerStore,
) -> None:
    """It sends no Checkpoint of members."""
    member = {"job_state": "R", "exec_host": "node7/0"}
    (row,) = drain.drain("node7", settings(owner_store), Server({"1[2].srv": member}))
    assert (row.outcome, row.what) == ("left", "OpenPBS holds no member of an array")


def test_jobs_of_other_nodes_and_jobs_that_wait_are_nobodys_business(
    owner_store: OwnerStore,
) -> None:
    others = {"1.srv": running(exec_host="node70/0"), "2.srv": running(job_state="Q")}
    assert drain.drain("node7", settings(owner_store), Server(others)) == []


@pytest.mark.parametrize(
    ("after", "noted", "why"),
    [
        ("C", {}, "it ended meanwhile"),
        ("gone", {}, "it ended meanwhile"),
        ("", {"event": "checkpoint-failed", "reason": "open sockets"}, "open sockets"),
        ("", {}, "its MOM takes no checkpoint"),
        ("C", {"event": "checkpoint", "ended": True}, "torqueckpt resume-job 1.srv"),
    ],
)
def test_a_job_that_is_not_held_after_all_is_told_and_its_hold_taken_back(
    owner_store: OwnerStore, after: str, noted: dict[str, object], why: str
) -> None:
    server = Server({"1.srv": running(after=after)})
    if noted:
        journal.note(
            owner_store,
            str(noted["event"]),
            "1.srv",
            **{k: v for k, v in noted.items() if k != "event"},
        )
    (row,) = drain.drain("node7", settings(owner_store, shared=True), server)
    assert (row.outcome, why in row.what) == ("left", True), row
    assert (("release", "1.srv", "s") in server.done) == (after == "")
    assert ("delete", "1.srv") not in server.done


def test_a_job_that_its_server_does_not_know_for_a_moment_is_held_all_the_same(
    owner_store: OwnerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forgets(Server):
        answers = 0

        def job(self, job_id: str, attributes: Iterable[str] = (), *, ended: bool = False) -> Job:
            self.answers += 1
            if self.answers < 3:
                raise errors.UnknownJob(call="pbs_statjob", text="asks its MOM", number=15001)
            return super().job(job_id, attributes, ended=ended)

    monkeypatch.setattr(drain, "_UNKNOWN_SECONDS", 600)
    monkeypatch.setattr(drain, "_QUIET_SECONDS", 600)
    journal.note(owner_store, "checkpoint", "1.srv", ended=True)
    server = Forgets({"1.srv": running(after="H")})
    (row,) = drain.drain("node7", settings(owner_store), server)
    assert (row.outcome, server.answers) == ("held", 3)


def test_what_mom_says_of_a_checkpoint_that_failed_early_is_told(owner_store: OwnerStore) -> None:
    server = Server({"1.srv": running(comment="Job started", says="criu is missing")})
    (row,) = drain.drain("node7", settings(owner_store), server)
    assert (row.outcome, row.what) == ("left", "criu is missing")
    assert ("release", "1.srv", "s") in server.done


def test_what_an_earlier_checkpoint_told_does_not_count(
    owner_store: OwnerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.note(owner_store, "checkpoint-failed", "1.srv", reason="long ago")
    clock = time.time
    monkeypatch.setattr(drain.time, "time", lambda: clock() + 10)
    (row,) = drain.drain("node7", settings(owner_store), Server({"1.srv": running()}))
    assert row.what == "its MOM takes no checkpoint"


def test_a_server_that_refuses_leaves_that_job_and_no_other(owner_store: OwnerStore) -> None:
    jobs = {"1.srv": running(), "2.srv": running(after="H")}
    journal.note(owner_store, "checkpoint", "2.srv", ended=True)
    rows = drain.drain("node7", settings(owner_store), Server(jobs, refuses=("1.srv",)))
    assert [(row.job, row.outcome) for row in rows] == [("1.srv", "left"), ("2.srv", "held")]
    assert "no operator" in rows[0].what


@pytest.mark.parametrize(
    ("submitted", "outcome", "deleted"),
    [(("9.srv", ""), "moved", True), (("", "qsub: no"), "held", False)],
)
def test_a_held_job_goes_only_once_its_resume_job_has_a_number(
    owner_store: OwnerStore,
    monkeypatch: pytest.MonkeyPatch,
    submitted: tuple[str, str],
    outcome: str,
    deleted: bool,
) -> None:
    server = Server({"1.srv": running(after="H")})
    journal.note(owner_store, "checkpoint", "1.srv", ended=True)
    monkeypatch.setattr(drain, "_resubmitted", lambda job: submitted)
    (row,) = drain.drain("node7", settings(owner_store, shared=True), server)
    assert (row.outcome, ("delete", "1.srv") in server.done) == (outcome, deleted)


@pytest.mark.parametrize(
    ("said", "shared", "outcome", "done"),
    [
        (("9.srv", ""), False, "held", ["comment"]),
        (("9.srv", ""), True, "moved", ["comment", "release"]),
        (("", "job 1.srv is not held: it has shared memory"), True, "left", []),
    ],
)
def test_a_server_whose_holds_go_wrong_is_asked_for_none(
    owner_store: OwnerStore,
    monkeypatch: pytest.MonkeyPatch,
    said: tuple[str, str],
    shared: bool,
    outcome: str,
    done: list[str],
) -> None:
    server = Server({"1.srv": running()})
    monkeypatch.setattr(server, "version", lambda: "6.1-dev")
    monkeypatch.setattr(drain, "_as_its_user", lambda job, *words: said)
    (row,) = drain.drain("node7", settings(owner_store, shared=shared), server)
    assert row.outcome == outcome and (said[0] or said[1]) in row.what
    assert [each[0] for each in server.done] == ["node", *done]
    assert all(each[1] == "9.srv" for each in server.done[1:])


def test_undo_releases_what_drain_has_held_on_that_node_alone() -> None:
    held = {"job_state": "H", "Hold_Types": "s"}
    jobs = {
        "1.srv": {**held, "comment": "held by torqueckpt drain of node7"},
        "2.srv": {**held, "comment": "held by torqueckpt drain of node70"},
        "3.srv": {**held, "comment": "restart failed, held: …"},
        "4.srv": {"job_state": "R", "comment": "held by torqueckpt drain of node7"},
    }
    server = Server(jobs)
    rows = drain.undo("node7", server)
    assert rows == [Drained("1.srv", me().name, "released", "to be restarted from its image")]
    assert server.done == [("node", "node7", "free"), ("release", "1.srv", "s")]


def test_users_are_told_that_it_is_roots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    with pytest.raises(NeedsRoot):
        drain.undo("node7", Server({}))


def test_a_job_that_nobody_can_tell_of_is_left_and_the_others_are_held(
    owner_store: OwnerStore,
) -> None:
    odd = {"1.srv": running(euser="nobody-of-this-node"), "3.srv": running(Checkpoint="c=\0")}
    journal.note(owner_store, "checkpoint", "2.srv", ended=True)
    server = Server({**odd, "2.srv": running(after="H")})
    rows = {row.job: row for row in drain.drain("node7", settings(owner_store), server)}
    assert {name: row.outcome for name, row in rows.items()} == {
        "1.srv": "left",
        "2.srv": "held",
        "3.srv": "left",
    }
    assert "nobody-of-this-node" in rows["1.srv"].what


def test_no_job_waits_until_anothers_hold_has_failed(owner_store: OwnerStore) -> None:
    journal.note(owner_store, "checkpoint", "2.srv", ended=True)
    server = Server({"1.srv": running(), "2.srv": running(after="H")})
    rows = drain.drain("node7", settings(owner_store), server)
    assert [(row.job, row.outcome) for row in rows] == [("2.srv", "held"), ("1.srv", "left")]
    told = [each[:2] for each in server.done]
    assert told.index(("comment", "2.srv")) < told.index(("release", "1.srv"))
