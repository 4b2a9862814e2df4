# SPDX-License-Identifier: MIT
"""A job of LSF is over when its starter has noted that, or bjobs says DONE: no PBS is asked."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import alive, wait_until
from tests.unit import samples
from torqueckpt.batch.lsf import bjobs as asking
from torqueckpt.batch.server import Server
from torqueckpt.cli import images
from torqueckpt.identity import Owner
from torqueckpt.ifl.errors import CannotConnect, LibraryNotFound
from torqueckpt.images.ended import JobState
from torqueckpt.lsf import records
from torqueckpt.process import privileges
from torqueckpt.settings import Settings
from torqueckpt.store import journal, marks
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import OwnerStore, Store

_HEAD = "JOBID   USER    STAT  QUEUE      FROM_HOST   EXEC_HOST   JOB_NAME   SUBMIT_TIME"

Bjobs = Callable[[str, str], None]


@pytest.fixture
def bjobs(place: Path, monkeypatch: pytest.MonkeyPatch) -> Bjobs:
    """Have bjobs say this of the jobs that it knows, and that of the owner's waiting ones."""
    monkeypatch.setenv("LSF_BINDIR", str(place))

    def says(states: str, waiting: str = "") -> None:
        rows = "".join(f"echo '{row}'\n" for row in states.splitlines() if row)
        known = (
            f"echo '{_HEAD}'\n{rows}" if rows else 'echo "Job <$3> is not found" >&2; exit 255\n'
        )
        pending = (
            f"echo '{_HEAD}'; echo '{waiting}'" if waiting else "echo No pending job found >&2"
        )
        text = f'#!/bin/sh\nid -u >{place}/asked\n[ "$1" != -p ] || {{ {pending}; exit; }}\n{known}'
        (place / "bjobs").write_text(text)
        (place / "bjobs").chmod(0o755)

    return says


@pytest.fixture
def gone(owner_store: OwnerStore, user: Owner, place: Path) -> Iterator[Lineage]:
    """A lineage of LSF's job 101, whose processes are gone from this node; acting as its owner."""
    place.chmod(0o777)
    with privileges.acting_as(user):
        lineage = owner_store.make_lineage("101@1763600000")
        owner_store.belongs("101", lineage)
        lineage.write_live(samples.live(job="101", host=socket.gethostname(), streams=()))
        lineage.directory.make("1").close()
        yield lineage


def judged(owner_store: OwnerStore, lineage: Lineage) -> bool:
    def never() -> Server:
        raise AssertionError("no PBS server knows anything of LSF's jobs")

    return JobState(Settings(local_home=Path("/nowhere")), never).has_ended(owner_store, lineage)


def row(state: str) -> str:
    return f"101     ann     {state:5} guests     node1       node1       counting   Dec  1 03:00"


@pytest.mark.parametrize(
    ("state", "how", "over"),
    [
        ("DONE", "", True),
        ("EXIT", "", False),  # its host may have taken it along
        ("", "", False),
        *((state, "", False) for state in ("PEND", "RUN", "USUSP", "SSUSP", "UNKWN", "ZOMBI")),
        *((state, how, True) for state in ("EXIT", "") for how in journal.OVER),
        *(("EXIT", how, False) for how in (journal.SAVED, journal.NOT_RESTARTED)),
        ("RUN", journal.KILLED, False),  # requeued
    ],
)
def test_images_go_by_the_starters_note_and_by_bjobs(
    owner_store: OwnerStore, gone: Lineage, bjobs: Bjobs, state: str, how: str, over: bool
) -> None:
    bjobs(row(state) if state else "", "")
    if how:
        journal.note(owner_store, journal.END, "101", how=how)
    assert judged(owner_store, gone) is over


def test_bjobs_is_run_by_the_jobs_owner(
    owner_store: OwnerStore, gone: Lineage, bjobs: Bjobs, place: Path
) -> None:
    bjobs(row("DONE"), "")
    assert judged(owner_store, gone)
    assert (place / "asked").read_text() == f"{os.geteuid()}\n"


def test_where_lsf_does_not_answer_the_note_alone_tells(
    owner_store: OwnerStore, gone: Lineage, monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    monkeypatch.setenv("LSF_BINDIR", str(place))
    assert not judged(owner_store, gone)
    journal.note(owner_store, journal.END, "101", how=journal.ENDED, status=0)
    assert judged(owner_store, gone)


def test_a_bjobs_that_hangs_is_ended_with_what_it_has_started(
    owner_store: OwnerStore,
    gone: Lineage,
    bjobs: Bjobs,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bjobs(row("EXIT"), "")
    (place / "bjobs").write_text(f"#!/bin/sh\nsleep 1000 &\necho $! >{place}/child\nwait\n")
    monkeypatch.setattr(asking, "_ANSWER_SECONDS", 1)
    assert not judged(owner_store, gone)
    child = int((place / "child").read_text())
    wait_until(lambda: not alive(child))


def test_a_job_that_runs_again_after_its_note_is_not_over(
    owner_store: OwnerStore, gone: Lineage, bjobs: Bjobs
) -> None:
    journal.note(owner_store, journal.END, "101", how=journal.ENDED, status=0)
    journal.note(owner_store, "checkpoint", "101", generation=1, ended=False)
    bjobs(row("EXIT"), "")
    assert not judged(owner_store, gone)


def test_a_suspended_job_that_was_killed_waits_for_nothing(
    owner_store: OwnerStore,
    gone: Lineage,
    user: Owner,
    store: Store,
    bjobs: Bjobs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    journal.note(owner_store, "checkpoint", "101", generation=1, ended=True)
    bjobs(row("EXIT"), "")
    marks.held(gone, "101")
    assert journal.waits(owner_store, gone) == "101"
    monkeypatch.setattr(records, "_me", lambda: user)
    records.note_end("101", journal.KILLED, Settings(store=store.root.path), status=130)
    assert journal.waits(owner_store, gone) == "" and judged(owner_store, gone)


@pytest.mark.parametrize("waiting", [True, False])
def test_a_resume_job_that_waits_in_lsf_keeps_the_images(
    owner_store: OwnerStore, gone: Lineage, bjobs: Bjobs, waiting: bool
) -> None:
    marks.wanted(gone)
    bjobs(row("DONE"), row("PEND").replace("101", "102") if waiting else "")
    assert judged(owner_store, gone) is not waiting


@pytest.mark.parametrize("has_pbs", [True, False])
def test_where_there_is_no_pbs_prune_says_nothing_of_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], has_pbs: bool
) -> None:
    def connect(settings: Settings, name: str | None) -> None:
        if has_pbs:
            raise CannotConnect(call="pbs_connect", text="nobody listens", number=111)
        raise LibraryNotFound(looked="libtorque.so", variable="X")

    monkeypatch.setattr(images, "_connect", connect)
    assert images._asked(Settings(), None) is None
    assert ("nobody listens" in capsys.readouterr().err) is has_pbs
