# SPDX-License-Identifier: MIT
"""What a job waits in goes on through dumps as if there had been none (continue-calls.c)."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.job.waiting import Calls, Ended, Key, Tree, compiled, long_enough, worst_lateness
from tests.support import Site, User, wait_until

_SECONDS = 45  # of calls with a time limit: longer than all dumps together take
_BEFORE = 3.0  # what of it has passed at the first dump, at least
_FROZEN = 3  # for how long a dump holds the tree: a call that begins anew, or stands still, is late
_KILLS = 16
# Time limits of sockets, which nobody but the job can change, begin anew.
_BEGIN_ANEW = {"recv, limited", "accept, limited"}


class Results(NamedTuple):
    """How the calls of each tree ended; the first had no dump."""

    undisturbed: dict[Key, Ended]
    dumped: dict[Key, Ended]
    failed: dict[Key, Ended]
    signalled: dict[Key, Ended]
    signalled_undisturbed: dict[Key, Ended]


@pytest.fixture(scope="module")
def program(installed: None) -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="tckpt-", dir="/var/tmp"))
    place.chmod(0o755)
    yield compiled(place)
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def results(users: tuple[User, User], program: Path) -> Iterator[Results]:
    """Five trees, which wait at the same time; two dumps of one, two that fail of another."""
    user = users[0]
    try:
        undisturbed, dumped, failed, signalled, beside = (
            Tree.begin(user, program, _SECONDS) for _ in range(5)
        )
        long_enough(time.monotonic(), _BEFORE)
        hold = f"sleep {_FROZEN}"
        for hook in (hold, "true"):
            assert dumped.dump(hook) == ""
            assert failed.dump(f"{hook}; exit 1") != ""
        in_time = {"EINTR"} >= {
            got.outcome for each in (dumped, failed) for got in each.ended().values()
        }
        assert in_time, "the dumps took too long to tell anything"
        _dump_and_signal(signalled)
        beside.signal_all()
        got = Results(*(tree.end() for tree in (undisturbed, dumped, failed, signalled, beside)))
        yield got
    finally:
        user.kill_all()


def _dump_and_signal(tree: Tree) -> None:
    """Signal each of its processes while the tree is frozen."""
    frozen, done = tree.directory / "frozen", tree.directory / "signalled"
    signals = threading.Thread(target=lambda: _once(frozen, tree, done))
    signals.start()
    assert tree.dump(f"touch {frozen}; until [ -e {done} ]; do sleep 0.05; done") == ""
    signals.join()


def _once(frozen: Path, tree: Tree, done: Path) -> None:
    wait_until(frozen.exists)
    tree.signal_all()
    done.touch()


def _wrong(results: Results, ended: dict[Key, Ended]) -> dict[Key, Ended]:
    """Those that ended otherwise than the same calls of a tree that was not dumped."""
    allowed = worst_lateness(results.undisturbed, _SECONDS) + _FROZEN / 2

    def as_it_was(key: Key, got: Ended) -> bool:
        if got.outcome != results.undisturbed[key].outcome:
            return False
        late = got.us / 1e6 - _SECONDS
        return got.outcome != "limit" or (late >= 0 and (late < allowed or key[0] in _BEGIN_ANEW))

    assert ended.keys() == results.undisturbed.keys()
    return {key: got for key, got in ended.items() if not as_it_was(key, got)}


def test_no_call_feels_a_dump(results: Results) -> None:
    assert _wrong(results, results.dumped) == {}


def test_no_call_feels_a_dump_that_fails(results: Results) -> None:
    assert _wrong(results, results.failed) == {}


def test_a_signal_that_comes_while_the_job_is_frozen_ends_what_it_would_have_ended(
    results: Results,
) -> None:
    outcomes = {key: got.outcome for key, got in results.signalled.items()}
    assert outcomes == {k: got.outcome for k, got in results.signalled_undisturbed.items()}
    assert "EINTR" in outcomes.values()


def test_no_call_of_a_job_feels_that_it_was_saved_and_restarted(
    site: Site, user: User, program: Path
) -> None:
    directory = user.directory()
    calls = Calls(directory)
    script = user.script(f"#!/bin/sh\n{program} {_SECONDS} {calls.results}\n", directory)
    running = site.start(user, script)
    calls.wait_for_all()
    long_enough(time.monotonic(), _BEFORE)
    for _ in range(2):
        done = subprocess.run(running.hook_argv(), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert not calls.ended()
    running.crash()
    resumed = site.resume(user, running.job, directory)
    site.wait_for_restart(resumed)
    calls.go()
    assert resumed.wait_as_it_is() == 0, resumed.err()
    ended = calls.ended()
    assert ended.keys() == calls.begun().keys()
    assert {key: got for key, got in ended.items() if got.outcome not in ("ok", "limit")} == {}
    limited = {key: got.us / 1e6 for key, got in ended.items() if got.outcome == "limit"}
    assert {key: took for key, took in limited.items() if took < _SECONDS} == {}
    for role in ("leader", "thread"):  # one sleeps for the rest of its time, the other anew
        assert limited["sleep", role] < limited["usleep", role] - _BEFORE / 2


def test_a_criu_that_is_killed_in_between_leaves_what_it_has_let_alone_as_it_was(
    user: User, program: Path
) -> None:
    calls = ("sleep", "poll", "select", "futex", "eventfd")  # no call that the kernel ends itself
    trees = [Tree.begin(user, program, _SECONDS, *calls) for _ in range(_KILLS + 1)]
    whole = trees.pop().dump_killed(after=0)
    for number, tree in enumerate(trees, 1):
        tree.dump_killed(after=whole * number // (_KILLS + 1))
    assert not any(tree.ended() for tree in trees), "the dumps took too long to tell anything"
    undisturbed = 0
    for tree in trees:
        # One that has criu's code in it then, as its own: that has always ended it.
        ended = tree.end(status=128 + signal.SIGTRAP)
        assert tree.leader.returncode or len(ended) >= 2 * len(calls) - 1
        undisturbed += len(ended) == 2 * len(calls)
        for got in ended.values():
            assert got.outcome in ("ok", "limit")
            assert got.outcome == "ok" or got.us >= 1e6 * _SECONDS
    assert undisturbed > _KILLS / 4
