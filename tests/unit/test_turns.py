# SPDX-License-Identifier: MIT
"""Checkpoints of one node take turns: who comes first, and for how long anybody can be kept."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.support import wait_until
from torqueckpt import log
from torqueckpt.checkpoint import turns
from torqueckpt.checkpoint.turns import Past, Queue, Turn, ahead_of
from torqueckpt.errors import NodeBusy, SessionGone
from torqueckpt.identity import Owner, ProcessId
from torqueckpt.process import proc
from torqueckpt.request import CheckpointRequest
from torqueckpt.settings import Settings

ANN, BOB = 1001, 1002
NOW = 10_000.0


def a_turn(pid: int, uid: int = ANN, *, ends: bool = False, waited: float = 1, runs: float = 0):
    """One that arrived so many seconds ago, and began so many seconds ago if it did."""
    process = ProcessId("boot", pid, 1)
    began = NOW - runs if runs else 0
    return Turn(process, uid, f"{pid}.server", ends, NOW - waited, began)


def ahead(mine: Turn, *others: Turn, past: tuple[Past, ...] = (), at_once: int = 1, cpus: int = 1):
    return ahead_of(mine, Queue((*others, mine), past), at_once, cpus, NOW)


def test_one_at_a_time_and_those_that_wait_in_the_order_in_which_they_came() -> None:
    running = a_turn(1, runs=3)
    first, second = a_turn(2, waited=9), a_turn(3, waited=8)
    assert ahead(first, running, second) == 1
    assert ahead(second, running, first) == 2
    assert ahead(first, second) == 0
    assert ahead(second, first) == 1


def test_as_many_at_once_as_the_settings_say() -> None:
    running = a_turn(1, runs=3)
    assert ahead(a_turn(2), running, at_once=2) == 0
    assert ahead(a_turn(2), running, a_turn(3, runs=1), at_once=2) == 1


def test_an_owner_with_many_jobs_does_not_keep_the_one_job_of_another_waiting() -> None:
    bobs = [a_turn(number, BOB, waited=30 + number) for number in range(10, 40)]
    had = (Past(BOB, NOW - 5, 2.0),)
    assert ahead(a_turn(1, ANN), *bobs, past=had) == 0
    assert ahead(bobs[-1], a_turn(1, ANN), *bobs[:-1], past=had) == 1


def test_a_hold_comes_first_whatever_its_owner_has_had() -> None:
    hold, other = a_turn(1, ANN, ends=True), a_turn(2, BOB, waited=50)
    assert ahead(hold, other, past=(Past(ANN, NOW - 5, 500.0),)) == 0
    assert ahead(other, hold) == 1


def test_a_checkpoint_that_hangs_keeps_its_own_owners_others_and_nobody_elses_for_long() -> None:
    hangs = a_turn(1, BOB, runs=61)
    assert ahead(a_turn(2, ANN), hangs) == 0
    assert ahead(a_turn(2, ANN), hangs._replace(began=NOW - 59)) == 1
    assert ahead(a_turn(3, BOB), hangs) == 1


def test_one_that_waits_for_its_owners_hanging_one_is_not_waited_for_by_others() -> None:
    hangs, behind = a_turn(1, BOB, runs=61), a_turn(2, BOB, waited=50)
    busy = (Past(ANN, NOW - 5, 500.0),)  # she has had more than he by now
    assert ahead(a_turn(3, ANN), hangs, behind, past=busy) == 0


def test_who_has_waited_for_a_minute_finds_room_where_there_are_processors() -> None:
    running, late = a_turn(1, runs=3), a_turn(2, waited=61)
    assert ahead(late, running, cpus=4) == 1
    assert ahead(late, running, cpus=8) == 0
    assert ahead(a_turn(2, waited=59), running, cpus=8) == 1


# The queue itself, in a directory of the test's ---------------------------------------------------


@pytest.fixture
def place(root: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(turns, "PLACE", tmp_path)
    return tmp_path


def request(job: str = "7.server", end: bool = False) -> CheckpointRequest:
    return CheckpointRequest(sid=os.getpid(), job_id=job, end=end)


def owner(uid: int = ANN) -> Owner:
    return Owner("ann", uid, uid, ())


def jobs() -> set[str]:
    """Those of Ann's whose checkpoints wait or are under way, of the few that there are."""
    return {job for job in ("1.server", "2.server", "7.server") if turns.has_one(job, ANN)}


class Other:
    """Another process that has its turn, until it is told to let go."""

    def __init__(self, place: Path, job: str = "1.server", uid: int = ANN) -> None:
        program = f"""
import sys
from pathlib import Path
from torqueckpt.checkpoint import turns
from torqueckpt.identity import Owner
from torqueckpt.request import CheckpointRequest
from torqueckpt.settings import Settings
turns.PLACE = Path({str(place)!r})
asked = CheckpointRequest(sid=1, job_id={job!r})
with turns.turn(asked, Owner("ann", {uid}, {uid}, ()), None, Settings()):
    print("mine", flush=True)
    sys.stdin.read(1)
"""
        self.process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None

    def has_begun(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "mine\n"

    def lets_go(self) -> None:
        self.process.communicate("x")
        assert self.process.returncode == 0


def test_one_waits_until_the_other_lets_go_and_it_is_told(place: Path) -> None:
    other = Other(place)
    other.has_begun()
    before, seen = log.lines().count("7.server: "), []

    def when_both_are_there() -> None:
        wait_until(lambda: jobs() == {"1.server", "7.server"})
        seen.append(True)
        other.lets_go()

    third = threading.Thread(target=when_both_are_there)
    third.start()
    with turns.turn(request(), owner(), None, Settings()):
        assert seen == [True]
        third.join()
        assert jobs() == {"7.server"}
    assert jobs() == set()
    assert log.lines().count("7.server: ") == before + 2


def test_a_checkpoint_that_another_one_calls_is_part_of_that(place: Path) -> None:
    program = f"""
import os
from pathlib import Path
from torqueckpt.checkpoint import turns
from torqueckpt.identity import Owner
from torqueckpt.request import CheckpointRequest
from torqueckpt.settings import Settings
turns.PLACE = Path({str(place)!r})
with turns.turn(CheckpointRequest(sid=1, job_id="1.server"), Owner("ann", {ANN}, {ANN}, ()), None,
                Settings(dump_wait_seconds=0)):
    print("inside")
"""
    with turns.turn(request(), owner(), None, Settings()):
        inner = subprocess.run(
            ["/bin/sh", "-c", '"$0" -c "$1"; exit $?', sys.executable, program],
            capture_output=True,
            text=True,
        )
    assert inner.stdout == "inside\n", inner.stderr


def test_one_that_was_killed_keeps_nobody_waiting(place: Path) -> None:
    other = Other(place)
    other.has_begun()
    other.process.kill()
    other.process.communicate()
    with turns.turn(request(), owner(), None, Settings()) as waited_ms:
        assert waited_ms < 5000


def test_after_its_time_it_says_who_comes_first_and_leaves_the_queue(place: Path) -> None:
    other = Other(place)
    other.has_begun()
    told, impatient = r"not its turn within 1 s: 1 other", Settings(dump_wait_seconds=1)
    with pytest.raises(NodeBusy, match=told), turns.turn(request(), owner(), None, impatient):
        raise AssertionError("it is not its turn")
    assert jobs() == {"1.server"}
    other.lets_go()


def test_a_hold_goes_on_after_some_seconds_whoever_has_the_turn(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_ENDING_SECONDS", 0.5)
    other = Other(place)
    other.has_begun()
    with turns.turn(request(end=True), owner(), None, Settings()) as waited_ms:
        assert waited_ms >= 500
    other.lets_go()


def test_a_job_that_ends_meanwhile_is_not_waited_with(place: Path) -> None:
    """MOM reports no job's end while a checkpoint of it is under way."""
    other = Other(place)
    other.has_begun()
    job = subprocess.Popen(["/bin/sleep", "6000"])
    found = proc.stat(job.pid)
    assert found is not None
    threading.Timer(0.5, job.kill).start()
    with pytest.raises(SessionGone), turns.turn(request(), owner(), found.id, Settings()):
        raise AssertionError("it is not its turn")
    job.wait()
    other.lets_go()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"turns": 1}', '{"turns": [{"uid": "x"}]}'])
def test_a_queue_that_cannot_be_read_is_begun_anew(place: Path, text: str) -> None:
    (place / "torqueckpt").mkdir(mode=0o700)
    (place / "torqueckpt" / "turns").write_text(text)
    with turns.turn(request(), owner(), None, Settings()):
        assert jobs() == {"7.server"}


def test_without_a_place_of_roots_own_nobody_waits(place: Path) -> None:
    (place / "torqueckpt").mkdir(mode=0o700)
    os.chown(place / "torqueckpt", ANN, ANN)
    before = time.monotonic()
    with turns.turn(request(), owner(), None, Settings()) as waited_ms:
        assert (waited_ms, jobs()) == (0, set())
    assert time.monotonic() - before < 60
    assert "is not root's alone" in log.lines()
