# SPDX-License-Identifier: MIT
"""Work done aside by the owner: its result, or one error, whatever he does to it."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import termios
import time
from typing import NamedTuple

import pytest

from tests.unit import real
from torqueckpt.identity import Owner
from torqueckpt.process import privileges, proc
from torqueckpt.process.worker import OwnerWorker, RootWorker, WorkerFailed


class Made(NamedTuple):
    name: str
    numbers: tuple[int, ...]


def _sleep() -> Made:
    time.sleep(6000)
    return Made("late", ())


def _only_child(before: set[int]) -> int:
    (pid,) = set(proc.children(os.getpid())) - before
    return pid


@pytest.fixture
def before() -> set[int]:
    return set(proc.children(os.getpid()))


def test_the_result_comes_back_as_it_was_made(user: Owner) -> None:
    made = Made("caf\udce9\n", tuple(range(50_000)))  # more than a pipe holds at once
    assert OwnerWorker(user, lambda: made).result(Made) == made


def test_the_work_runs_with_the_owners_real_ids_and_no_others(user: Owner) -> None:
    def work() -> Made:
        return Made("ids", (*os.getresuid(), *os.getresgid()))

    ids = (*[user.uid] * 3, *[user.gid] * 3)
    assert OwnerWorker(user, work).result(Made).numbers == ids
    with privileges.acting_as(user):
        assert OwnerWorker(user, work).result(Made).numbers == ids
    assert os.getresuid() == (0, 0, 0)


def test_the_parent_goes_on_meanwhile(user: Owner) -> None:
    hears, tells = os.pipe()
    worker = OwnerWorker(user, lambda: Made(os.read(hears, 10).decode(), ()))
    os.write(tells, b"gone on")
    assert worker.result(Made).name == "gone on"
    os.close(hears)
    os.close(tells)


@pytest.mark.parametrize("failure", [ValueError("bad\nimage"), OSError(2, "gone"), SystemExit(3)])
def test_work_that_fails_is_told_with_its_error(user: Owner, failure: BaseException) -> None:
    def work() -> Made:
        raise failure

    with pytest.raises(WorkerFailed, match=type(failure).__name__):
        OwnerWorker(user, work).result(Made)


def test_a_result_that_is_no_record_is_a_failure(user: Owner) -> None:
    with pytest.raises(WorkerFailed, match="words"):
        OwnerWorker(user, lambda: "words").result(Made)  # type: ignore[arg-type]


def test_a_result_of_another_kind_is_a_failure(user: Owner) -> None:
    with pytest.raises(WorkerFailed):
        OwnerWorker(user, lambda: Owner("a", 1, 1, ())).result(Made)  # type: ignore[arg-type]


def test_a_child_that_its_owner_kills_is_a_failure(user: Owner, before: set[int]) -> None:
    worker = OwnerWorker(user, _sleep)
    os.kill(_only_child(before), signal.SIGKILL)
    with pytest.raises(WorkerFailed, match="it was killed"):
        worker.result(Made)


def test_a_child_that_is_killed_in_the_middle_of_its_report_is_a_failure(
    user: Owner, before: set[int]
) -> None:
    worker = OwnerWorker(user, lambda: Made("much", tuple(range(500_000))))
    child = _only_child(before)
    real.until(lambda: _waiting_in(worker) >= 1 << 16, "a full pipe")
    os.kill(child, signal.SIGKILL)
    with pytest.raises(WorkerFailed, match="it was killed"):
        worker.result(Made)


def test_a_child_that_its_owner_stops_is_ended_at_the_time_limit(
    user: Owner, before: set[int]
) -> None:
    worker = OwnerWorker(user, _sleep, timeout_seconds=0.3)
    child = _only_child(before)
    os.kill(child, signal.SIGSTOP)
    with pytest.raises(WorkerFailed, match="too long"):
        worker.result(Made)
    assert proc.stat(child) is None


def test_an_interrupt_of_the_child_does_not_unwind_what_the_parent_was_doing(
    user: Owner, before: set[int]
) -> None:
    """The parent's `with` blocks would remove the very generation that is being made."""
    unwound = os.memfd_create("unwound")
    works, tells = os.pipe()
    try:
        worker = OwnerWorker(user, lambda: Made("late", (os.write(tells, b"."), *_sleep().numbers)))
        child = _only_child(before)
        os.read(works, 1)
        os.kill(child, signal.SIGINT)
        with pytest.raises(WorkerFailed, match="KeyboardInterrupt"):
            worker.result(Made)
    finally:
        os.write(unwound, b".")
    assert os.fstat(unwound).st_size == 1
    for fd in (unwound, works, tells):
        os.close(fd)


def test_no_child_is_left_as_a_zombie(user: Owner, before: set[int]) -> None:
    OwnerWorker(user, lambda: Made("one", ())).result(Made)
    assert set(proc.children(os.getpid())) <= before


def test_work_that_fills_the_memory_is_ended_with_its_error() -> None:
    with pytest.raises(WorkerFailed, match="MemoryError"):
        RootWorker(lambda: Made(str(len(bytes(1 << 32))), ()), 60, memory_mib=100).result(Made)


def test_a_worker_of_roots_own_can_be_stopped_by_nobody_else(user: Owner, before: set[int]) -> None:
    worker = RootWorker(_sleep, 60)
    child = _only_child(before)
    with privileges.acting_as(user):
        kill = OwnerWorker(user, lambda: Made("", (os.kill(child, signal.SIGSTOP) or 0,)))
        with pytest.raises(WorkerFailed, match="PermissionError"):
            kill.result(Made)
    worker.stop()
    assert proc.stat(child) is None


def test_a_worker_that_does_not_die_at_once_is_not_waited_for(
    before: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that waits for a file server: here the signal comes late."""
    monkeypatch.setattr("torqueckpt.process.worker._KILLED_SECONDS", 0)
    kill, late = os.kill, RootWorker(_sleep, 0)
    child = _only_child(before)
    monkeypatch.setattr(os, "kill", lambda pid, number: None)
    with pytest.raises(WorkerFailed, match="too long"):
        late.result(Made)
    assert proc.stat(child) is not None
    kill(child, signal.SIGKILL)
    real.until(lambda: proc.stat(child) is None or proc.stat(child).ended, "its end")
    assert RootWorker(lambda: Made("next", ()), 60).result(Made).name == "next"
    assert proc.stat(child) is None


def _waiting_in(worker: OwnerWorker[Made]) -> int:
    """How many bytes its report has put into the pipe so far."""
    (count,) = struct.unpack("i", fcntl.ioctl(worker._read_end, termios.FIONREAD, b"\0" * 4))
    return int(count)
