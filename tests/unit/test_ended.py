# SPDX-License-Identifier: MIT
"""A job is over when its batch system says so, and in doubt it is not."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.unit import samples
from torqueckpt.batch.local import control
from torqueckpt.errors import InvalidJobId
from torqueckpt.files import intent
from torqueckpt.identity import Owner, ProcessId
from torqueckpt.ifl.errors import CallTimedOut, PbsError, UnknownJob
from torqueckpt.ifl.records import Job, Server
from torqueckpt.images.ended import JobState
from torqueckpt.process import privileges, proc
from torqueckpt.records import Intent, LiveStream
from torqueckpt.settings import Settings
from torqueckpt.store import chain, journal, marks
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import OwnerStore

HERE = socket.gethostname()


@dataclass
class Told:
    """A server that knows these jobs: id → attributes."""

    known: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    server: str = "srv"
    silent: bool = False
    open: str = "True"

    def job(self, job_id: str, attributes: object = (), *, ended: bool = False) -> Job:
        if self.silent:
            raise CallTimedOut(call="pbs_statjob", seconds=20)
        if job_id not in self.known:
            raise UnknownJob(call="pbs_statjob", text="Unknown Job Id", number=15001)
        return Job(job_id, self.known[job_id])

    def jobs(self, attributes: object = (), *, where: str = "") -> list[Job]:
        return [Job(name, attributes) for name, attributes in self.known.items()]

    def server_status(self, attributes: object = ()) -> Server:
        return Server("srv", {"query_other_jobs": self.open})


@pytest.fixture
def gone(lineage: Lineage, user: Owner) -> Iterator[Lineage]:
    """A lineage of a job whose processes are gone from this node; acting as its owner."""
    with privileges.acting_as(user):
        lineage.write_live(samples.live(host=HERE))
        yield lineage


def judged(
    owner_store: OwnerStore, lineage: Lineage, server: Told | None, home: str = "/nowhere"
) -> bool:
    return JobState(Settings(local_home=Path(home)), lambda: server).has_ended(owner_store, lineage)


def test_a_job_that_its_server_has_forgotten_is_over(
    owner_store: OwnerStore, gone: Lineage
) -> None:
    assert judged(owner_store, gone, Told())
    assert judged(owner_store, gone, Told(server="srv.example.org"))


@pytest.mark.parametrize(
    ("state", "expected"), [("C", True), ("F", True), *((s, False) for s in "QHRTWSEM")]
)
def test_a_job_that_its_server_knows_is_over_only_when_completed(
    owner_store: OwnerStore, gone: Lineage, state: str, expected: bool
) -> None:
    assert judged(owner_store, gone, Told({samples.JOB: {"job_state": state}})) is expected


@pytest.mark.parametrize(
    "server", [None, Told(server="other"), Told(server="srv2"), Told(silent=True)]
)
def test_without_its_own_servers_word_nothing_is_over(
    owner_store: OwnerStore, gone: Lineage, server: Told | None
) -> None:
    assert not judged(owner_store, gone, server)


def test_a_job_whose_record_is_of_another_node_is_that_nodes_to_judge(
    owner_store: OwnerStore, gone: Lineage
) -> None:
    gone.write_live(samples.live(host=f"not-{HERE}"))
    assert not judged(owner_store, gone, Told())


def test_a_job_that_lives_here_is_not_over_whatever_its_server_says(
    owner_store: OwnerStore, gone: Lineage
) -> None:
    for name in ("keeper", "tree"):
        gone.write_live(samples.live(host=HERE, **{name: proc.still_me()}))
        assert not judged(owner_store, gone, Told())
    me = proc.still_me()
    gone.write_live(samples.live(host=HERE, keeper=ProcessId("an earlier boot", me.pid, 1)))
    assert judged(owner_store, gone, Told())


def test_a_torn_record_a_missing_one_and_a_restart_under_way_are_doubts(
    owner_store: OwnerStore, gone: Lineage
) -> None:
    intent.write(gone.directory, Intent("a1", samples.JOB, 1, ()))
    assert not judged(owner_store, gone, Told())
    intent.done(gone.directory)
    assert judged(owner_store, gone, Told())
    (gone.path / "live.json").write_text("{")
    assert not judged(owner_store, gone, Told())
    (gone.path / "live.json").unlink()
    assert not judged(owner_store, gone, Told())


def test_each_job_of_the_lineage_must_be_over(owner_store: OwnerStore, gone: Lineage) -> None:
    """The first one is held still, and would be restarted from these images."""
    owner_store.belongs("15.srv", gone)
    assert judged(owner_store, gone, Told())
    assert not judged(owner_store, gone, Told({"15.srv": {"job_state": "H"}}))


def test_a_resume_job_that_waits_in_the_queue_keeps_its_images(
    owner_store: OwnerStore, gone: Lineage, user: Owner
) -> None:
    waiting = {"20.srv": {"job_state": "Q", "Job_Owner": f"{user.name}@node1"}}
    assert judged(owner_store, gone, Told(waiting))  # nobody has asked for a resume job
    marks.wanted(gone)
    assert not judged(owner_store, gone, Told(waiting))
    assert not judged(
        owner_store, gone, Told(open="False")
    )  # the server shows root's own jobs only
    assert judged(
        owner_store, gone, Told({"20.srv": {"job_state": "Q", "Job_Owner": "somebody@node1"}})
    )
    marks.resumed(gone)
    assert judged(owner_store, gone, Told(waiting))


def test_a_chain_whose_next_link_waits_for_long_keeps_its_images(
    owner_store: OwnerStore, gone: Lineage, user: Owner
) -> None:
    waiting = {"20.srv": {"job_state": "H", "Job_Owner": f"{user.name}@node1"}}
    made = chain.make(owner_store, "12.srv", 1700000000)
    made.write(chain.Links("12.srv", "/", (chain.Link("12.srv", HERE, 1700000000, "", 0),)))
    assert not judged(owner_store, gone, Told(waiting))
    assert judged(owner_store, gone, Told())
    made.write_end(chain.End(chain.ENDED, 7, "12.srv", 1700000100, ""))
    assert judged(owner_store, gone, Told(waiting))


@pytest.fixture
def local(
    owner_store: OwnerStore, lineage: Lineage, user: Owner, place: Path
) -> Callable[[], bool]:
    """A job of `torqueckpt run`; what is said of it."""
    job = f"12.{HERE}"
    (place / "sock").mkdir()
    stream = LiveStream("stdout", str(place / "spool" / f"{job}.OU"), 1, 2, 0, "stdout")
    with privileges.acting_as(user):
        lineage.write_live(samples.live(job=job, host=HERE, streams=(stream,)))
        for each in os.listdir(owner_store.path / "ids"):
            (owner_store.path / "ids" / each).unlink()
        owner_store.belongs(job, lineage)

    def said() -> bool:
        with privileges.acting_as(user):
            return judged(owner_store, lineage, None, str(place))

    return said


def test_a_local_job_is_over_when_nobody_plays_its_mom(
    local: Callable[[], bool], place: Path
) -> None:
    assert local()
    ear = control.listen(place / "sock" / f"12.{HERE}")
    assert not local()
    ear.close()
    assert local()


def test_a_local_job_that_was_held_waits_for_its_image_also_when_older_ones_go(
    local: Callable[[], bool], owner_store: OwnerStore, user: Owner
) -> None:
    with privileges.acting_as(user):
        journal.note(owner_store, "checkpoint", f"12.{HERE}", ended=True)
        journal.note(owner_store, "delete", f"12.{HERE}", generations=[1])
        journal.note(owner_store, "prune", f"12.{HERE}", generations=[2])
    assert not local()
    with privileges.acting_as(user):
        journal.note(owner_store, "restart", f"12.{HERE}")
    assert local()


def test_a_hold_is_remembered_when_the_journal_has_grown_since(
    local: Callable[[], bool], lineage: Lineage, user: Owner
) -> None:
    assert local()
    with privileges.acting_as(user):
        marks.held(lineage, f"12.{HERE}")
    assert not local()
    with privileges.acting_as(user):
        marks.resumed(lineage)
    assert local()


def test_a_hold_waits_through_a_failed_restart_and_ends_with_one_under_another_name(
    local: Callable[[], bool], owner_store: OwnerStore, lineage: Lineage, user: Owner
) -> None:
    with privileges.acting_as(user):
        journal.note(owner_store, "checkpoint", f"12.{HERE}", ended=True)
        about = {"lineage": lineage.name, "reason": "no room"}
        journal.note(owner_store, journal.RESTART_FAILED, f"12.{HERE}", **about)
        journal.note(owner_store, "submit", f"12.{HERE}", resume_job=f"15.{HERE}")
    assert not local()
    with privileges.acting_as(user):
        owner_store.belongs(f"15.{HERE}", lineage)
        journal.note(owner_store, "restart", f"15.{HERE}")
    assert local()


def test_it_is_remembered_since_when_and_forgotten_when_it_runs_again(gone: Lineage) -> None:
    assert marks.noted(gone, True, 100) == 100
    assert marks.noted(gone, True, 200) == 100
    assert marks.noted(gone, False, 300) is None
    assert marks.noted(gone, True, 400) == 400
    (gone.path / "over").write_text("torn")
    assert marks.noted(gone, True, 500) == 500


def test_a_server_that_does_not_take_one_owners_words_is_asked_for_the_others(
    owner_store: OwnerStore, gone: Lineage
) -> None:
    class Picky(Told):
        def job(self, job_id: str, attributes: object = (), *, ended: bool = False) -> Job:
            if job_id.startswith("99"):
                raise PbsError(call="pbs_statjob", text="Illegal attribute", number=15002)
            return super().job(job_id, attributes, ended=ended)

    state = JobState(Settings(local_home=Path("/nowhere")), Picky)
    odd = owner_store.make_lineage("99.srv@1700000000")
    odd.write_live(samples.live(host=HERE, job="99.srv"))
    assert not state.has_ended(owner_store, odd)
    assert state.has_ended(owner_store, gone)


@pytest.mark.parametrize("job", ["../../x", "9" * 400 + ".srv", "12.srv\0", ""])
def test_what_is_no_job_in_a_live_record_is_asked_of_nobody(
    owner_store: OwnerStore, gone: Lineage, job: str
) -> None:
    gone.write_live(samples.live(host=HERE, job=job))
    with pytest.raises(InvalidJobId):
        judged(owner_store, gone, Told())
