# SPDX-License-Identifier: MIT
"""What is known of a chain, when it is given up, and which image a link goes on from."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.support import wait_until
from tests.unit import samples
from torqueckpt.chain import link, server_jobs
from torqueckpt.errors import ChainStopped, RecordTorn, UnknownChain
from torqueckpt.identity import Owner
from torqueckpt.ifl.errors import PermissionDenied
from torqueckpt.ifl.records import Job
from torqueckpt.process import privileges
from torqueckpt.resubmit import resubmit
from torqueckpt.settings import Settings
from torqueckpt.store import chain, journal
from torqueckpt.store.chain import End, Link, Links
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import OwnerStore


def links(*began: tuple[str, int]) -> Links:
    """A chain whose links began with these images, the first of job 12."""
    made = [
        Link(f"{12 + n}.srv", "node1", 1700000000 + n, lineage, number)
        for n, (lineage, number) in enumerate(began)
    ]
    return Links("12.srv", "/home/ann", tuple(made))


NONE = ("", 0)


@pytest.fixture
def acting(user: Owner) -> Iterator[Owner]:
    with privileges.acting_as(user):
        yield user


# What is kept -------------------------------------------------------------------------------------


def test_a_chain_is_found_by_any_of_its_jobs_and_the_newest_of_a_number_comes_first(
    owner_store: OwnerStore, acting: Owner
) -> None:
    old = chain.make(owner_store, "12.srv", 1700000000)
    old.write(links(NONE))
    new = chain.make(owner_store, "12.srv", 1800000000)
    new.write(links(NONE, (samples.LINEAGE, 1)))
    found = [chain.of_job(owner_store, job) for job in ("12.srv", "13.srv", old.name, "14.srv")]
    assert [each.name if each else None for each in found] == [new.name, new.name, old.name, None]
    assert new.read() == links(NONE, (samples.LINEAGE, 1))
    assert new.end() is None
    end = End(chain.ENDED, 7, "13.srv", 1800000100, "")
    new.write_end(end)
    assert new.end() == end
    chain.remove(owner_store, new)
    assert [each.name for each in chain.of_owner(owner_store)] == [old.name]


def test_without_any_chain_there_is_none(owner_store: OwnerStore, acting: Owner) -> None:
    assert list(chain.of_owner(owner_store)) == []
    assert chain.of_job(owner_store, "12.srv") is None


def test_a_chain_whose_first_link_is_still_making_it_is_none_yet(
    owner_store: OwnerStore, acting: Owner
) -> None:
    made = chain.make(owner_store, "12.srv", 1700000000)
    assert chain.of_job(owner_store, "12.srv") is None
    made.write(links(NONE))
    assert chain.of_job(owner_store, "12.srv") is not None


@pytest.mark.parametrize("name", ["chain.json", "end.json"])
@pytest.mark.parametrize("text", ["", "{}", '{"first": 1}', "[" * 10000])
def test_a_record_that_is_torn_is_said_to_be(
    owner_store: OwnerStore, acting: Owner, name: str, text: str
) -> None:
    made = chain.make(owner_store, "12.srv", 1700000000)
    made.write(links(NONE))
    made.directory.write_whole(name, text.encode())
    with pytest.raises(RecordTorn):
        made.read() if name == "chain.json" else made.end()
    found = chain.of_job(owner_store, "13.srv")
    assert found is None


def test_a_pipe_or_a_link_in_a_records_place_holds_nobody_up(
    owner_store: OwnerStore, acting: Owner, place: Path
) -> None:
    made = chain.make(owner_store, "12.srv", 1700000000)
    os.mkfifo(made.directory.path / "chain.json")
    os.symlink("/etc/passwd", made.directory.path / "end.json")
    for look in (made.read, made.end):
        with pytest.raises(RecordTorn):
            look()


# Limits -------------------------------------------------------------------------------------------


def test_links_that_made_no_image_are_counted_up_to_the_last_that_did() -> None:
    image, later = ("12.srv@1", 1), ("12.srv@1", 2)
    assert link.idle_links(links(), NONE) == 0
    assert link.idle_links(links(NONE), NONE) == 1
    assert link.idle_links(links(NONE, NONE), image) == 0
    assert link.idle_links(links(NONE, image, later, later), later) == 2
    assert link.idle_links(links(later, image, later), later) == 1


@pytest.mark.parametrize(
    ("began", "now", "told"),
    [
        ([NONE, NONE], NONE, "2 links one after the other made no image"),
        ([NONE, ("a@1", 1), ("a@1", 2), ("a@1", 3)], ("a@1", 4), "4 links are all"),
        ([NONE, ("a@1", 1), ("a@1", 1)], ("a@1", 2), ""),
    ],
)
def test_a_chain_is_given_up_at_either_limit_and_stays_so(
    owner_store: OwnerStore,
    acting: Owner,
    began: list[tuple[str, int]],
    now: tuple[str, int],
    told: str,
) -> None:
    chosen = Settings(chain_links=4, chain_idle_links=2)
    made = chain.make(owner_store, "12.srv", 1700000000)
    made.write(links(*began))
    if not told:
        link._stop_at_limits(made, made.read(), now, "20.srv", chosen)
        assert made.end() is None
        return
    with pytest.raises(ChainStopped, match=told):
        link._stop_at_limits(made, made.read(), now, "20.srv", chosen)
    end = made.end()
    assert end is not None
    assert (end.how, end.job) == (chain.STOPPED, "20.srv")


# Which image --------------------------------------------------------------------------------------


def test_the_newest_image_is_that_of_the_latest_link_that_has_one(
    owner_store: OwnerStore, lineage: Lineage, acting: Owner
) -> None:
    assert link.newest(owner_store, links(NONE)) == NONE
    for number in (1, 2):
        lineage.directory.make(str(number))
    assert link.newest(owner_store, links(NONE)) == (samples.LINEAGE, 2)
    later = owner_store.make_lineage("13.srv@1700000500")
    owner_store.belongs("13.srv", later)
    assert link.newest(owner_store, links(NONE, NONE)) == (samples.LINEAGE, 2)
    later.directory.make("1")
    assert link.newest(owner_store, links(NONE, NONE)) == (later.name, 1)


def test_an_image_that_could_not_be_restored_is_not_tried_for_ever(
    owner_store: OwnerStore, lineage: Lineage, acting: Owner
) -> None:
    for number in (1, 2, 5):
        lineage.directory.make(str(number))
    image = (samples.LINEAGE, 5)
    assert link._older(owner_store, samples.LINEAGE, links(NONE, image, image)) is None
    journal.note(owner_store, journal.RESTART_FAILED, "12.srv", lineage=samples.LINEAGE, code=45)
    tried = [links(NONE, *(image for _ in range(count + 1))) for count in range(5)]
    chosen = [link._older(owner_store, samples.LINEAGE, each) for each in tried]
    assert chosen == [None, 2, 1, 1, 1]
    journal.note(owner_store, journal.RESTART_FAILED, "12.srv", lineage=samples.LINEAGE, code=53)
    assert (
        link._older(owner_store, samples.LINEAGE, tried[1]) is None
    )  # damage is looked for anyway


def test_the_job_that_ends_a_chain_may_be_one_that_was_resumed_by_hand(
    owner_store: OwnerStore, lineage: Lineage, acting: Owner
) -> None:
    assert link._runs_it(owner_store, links(NONE)) == "12.srv"
    lineage.directory.make("1")
    lineage.write_live(samples.live(job="12.srv", attempt=""))
    assert link._runs_it(owner_store, links(NONE)) == "12.srv"
    lineage.write_live(samples.live(job="40.srv", attempt="a1"))
    assert link._runs_it(owner_store, links(NONE, (samples.LINEAGE, 1))) == "40.srv"
    lineage.directory.write_whole("live.json", b"{}")
    assert link._runs_it(owner_store, links(NONE, (samples.LINEAGE, 1))) == "13.srv"


# Links ------------------------------------------------------------------------------------------


def test_a_link_without_its_chain_says_so_and_one_of_an_ended_chain_ends_the_same(
    owner_store: OwnerStore, acting: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "_own_store", lambda _: owner_store)
    with pytest.raises(UnknownChain, match="never began"):
        link.go_on("12.srv", "13.srv", Settings())
    made = chain.make(owner_store, "12.srv", 1700000000)
    made.write(links(NONE))
    made.write_end(End(chain.ENDED, 7, "12.srv", 1700000100, ""))
    assert link.go_on("12.srv", "13.srv", Settings()) == 7
    made.write_end(End(chain.CANCELLED, 0, "12.srv", 1700000100, "cancelled by its owner"))
    with pytest.raises(ChainStopped, match="cancelled by its owner"):
        link.go_on("12.srv", "13.srv", Settings())
    assert made.read() == links(NONE)


@pytest.mark.parametrize(
    ("script", "shell", "argv"),
    [
        (b"#!/bin/bash -l\nx", b"", [b"/bin/bash", b"-l"]),
        (b"#! /usr/bin/env python3 -u\nx", b"", [b"/usr/bin/env", b"python3 -u"]),
        (b"echo\n", b"/bin/zsh", [b"/bin/zsh"]),
        (b"#!\necho\n", b"", [b"/bin/sh"]),
    ],
)
def test_a_script_is_run_by_the_interpreter_that_the_kernel_would_take(
    script: bytes, shell: bytes, argv: list[bytes]
) -> None:
    assert link.interpreter(script, {b"SHELL": shell}) == argv


def running(place: Path, script: str, traps: str = ":") -> subprocess.Popen[bytes]:
    """The shell that runs a script, in a session of its own, once that has set its traps; the
    program that it calls writes down its words."""
    program = place / "program"
    program.write_text(f'#!/bin/sh\necho "$@" >{place}/told\nexit 3\n')
    program.chmod(0o755)
    words = [program, "/bin/bash", "-c", f"{traps}; touch {place}/began; {script}"]
    text = link.RUN.format(chain="12.srv@1")
    started = subprocess.Popen(["/bin/sh", "-c", text, *words], start_new_session=True)
    wait_until((place / "began").exists)
    return started


def told(place: Path) -> str:
    return (place / "told").read_text() if (place / "told").exists() else ""


@pytest.mark.parametrize("status", [0, 7, 143])
def test_the_shell_that_runs_the_script_says_its_status_and_keeps_it(
    tmp_path: Path, status: int
) -> None:
    assert running(tmp_path, f"exit {status}").wait() == status
    assert told(tmp_path) == f"link-ended 12.srv@1 {status}\n"


@pytest.mark.parametrize("trap", ["sleep 0.5; exit 5", "exit 5"])
def test_a_script_that_is_ended_from_outside_has_its_time_and_is_not_done(
    tmp_path: Path, trap: str
) -> None:
    started = running(tmp_path, "while :; do sleep 0.1; done", f"trap '{trap}' TERM")
    os.killpg(started.pid, signal.SIGTERM)
    assert started.wait() == 5
    assert told(tmp_path) == ""


def test_a_signal_for_all_of_the_job_reaches_the_script_alone(tmp_path: Path) -> None:
    traps = f"trap 'got=1; touch {tmp_path}/got' USR1; trap 'exit $got' USR2"
    started = running(tmp_path, "while :; do sleep 0.1; done", traps)
    os.killpg(started.pid, signal.SIGUSR1)
    wait_until((tmp_path / "got").exists)
    os.killpg(started.pid, signal.SIGUSR2)
    assert started.wait() == 1
    assert told(tmp_path) == "link-ended 12.srv@1 1\n"


def test_a_script_finds_its_signals_as_they_were(tmp_path: Path) -> None:
    look = ["grep", "Sig[IC]", "/proc/self/status"]
    running(
        tmp_path, f"trap >{tmp_path}/traps; exec grep 'Sig[IC]' /proc/self/status >{tmp_path}/now"
    ).wait()
    assert (tmp_path / "traps").read_text() == ""
    before = subprocess.run(look, capture_output=True, text=True, check=True)
    assert (tmp_path / "now").read_text() == before.stdout


# At the server ------------------------------------------------------------------------------------


class Server:
    is_openpbs = False

    def __init__(self, refuses: str = "", jobs: Sequence[Job] = ()) -> None:
        self.altered: dict[str, object] = {}
        self._refuses, self._jobs = refuses, jobs

    def jobs(self, attributes: object) -> list[Job]:
        return [*self._jobs]

    def alter(self, job_id: str, attributes: Mapping[str, object]) -> None:
        if job_id == self._refuses:
            raise PermissionDenied(call="pbs_alterjob", text="no", number=15007)
        self.altered[job_id] = attributes


def job(name: str, depend: str, owner: str = "ann", state: str = "H", chained: str = "") -> Job:
    variables = f"PBS_O_HOME=/,TORQUECKPT_CHAIN={chained}" if chained else "PBS_O_HOME=/"
    found = {"Job_Owner": f"{owner}@srv", "job_state": state, "depend": depend}
    return Job(name, {**found, "Variable_List": variables})


def test_what_waits_for_a_link_that_runs_here_waits_for_the_one_behind_it() -> None:
    jobs = [
        job("12.srv", "beforeany:13.srv", state="R"),
        job("13.srv", "afterany:12.srv@srv", chained="12.srv"),
        job("14.srv", "afterok:12.srv@srv:9.srv"),
        job("15.srv", "afterok:12.srv", owner="ben"),
        job("16.srv", "afterok:112.srv"),
        job("17.srv", "afterok:12.srv", state="C"),
        job("18.srv", "afterok:12.srv"),
    ]
    server, told = Server(refuses="18.srv"), []
    server_jobs.move_dependents(server, jobs, {"12.srv"}, told.append)
    assert server.altered == {"14.srv": {"depend": "afterok:13.srv:9.srv"}}
    assert "18.srv: waits for afterok:12.srv still" in told[-1]
    server_jobs.move_dependents(elsewhere := Server(), jobs, {"30.srv"}, told.append)
    assert elsewhere.altered == {}


def test_of_an_array_that_waits_openpbs_alters_the_array_itself_and_refuses_its_members() -> None:
    """It lists them with what their array waits for."""
    jobs = [
        job("13.srv", "afterany:12.srv@srv", chained="12.srv"),
        job("14[].srv", "afterok:12.srv@srv"),
        job("14[1].srv", "afterok:12.srv@srv", state="Q"),
        job("15.srv", "afterok:12.srv@srv"),
    ]
    server, told = Server(refuses="14[1].srv", jobs=jobs), list[str]()
    server.is_openpbs = True
    server_jobs.move_dependents(server, jobs[:3], {"12.srv"}, told.append)
    assert server.altered == {"14[].srv": {"depend": "afterok:13.srv"}}
    resubmit.move_waiting(server, "ann", {"12.srv"}, "20.srv", told.append)
    assert server.altered["15.srv"] == {"depend": "afterok:20.srv"}
    assert not any("14[1]" in line for line in told)


def test_only_a_link_behind_the_first_names_its_chain() -> None:
    assert server_jobs.chain_named_by(job("13.srv", "", chained="12.srv")) == "12.srv"
    assert server_jobs.chain_named_by(job("12.srv", "", chained="1")) == ""
    assert server_jobs.chain_named_by(job("12.srv", "")) == ""
