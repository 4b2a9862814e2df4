# SPDX-License-Identifier: MIT
"""Each kind of resource comes back as it was, or its checkpoint is refused before the dump.

One site runs all programs, some at a time; each test looks at what became of one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue

import pytest

from tests import accounts
from tests.job.held import Outcome, outcome
from tests.job.kinds import KINDS
from tests.job.kinds.kind import LOST, NOT_HERE, REFUSED, RESTORED, WARNED, Kind
from tests.support import Site, User

_AT_ONCE = 4


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, installed: None
) -> Iterator[dict[str, Future[Outcome]]]:
    """The kinds that this run is asked for, under way; each has a user for itself: he is booted."""
    chosen = {item.name.partition("[")[2][:-1] for item in request.session.items}
    site = Site.make()
    site.configure(pid_wait_seconds=120)  # many processes end here: pid 1 takes its time with some
    names = [accounts.new_name() for _ in range(_AT_ONCE)]
    with accounts.users(*names) as users, ThreadPoolExecutor(_AT_ONCE) as pool:
        free: SimpleQueue[User] = SimpleQueue()
        for user in users:
            free.put(user)

        def of_one(kind: Kind) -> Outcome:
            user = free.get()
            try:
                return outcome(site, user, kind)
            finally:
                free.put(user)

        yield {kind.name: pool.submit(of_one, kind) for kind in KINDS if kind.name in chosen}
    site.remove()


def of(result: str) -> list[object]:
    return [pytest.param(kind, id=kind.name) for kind in KINDS if kind.result == result]


def of_kind(kind: Kind, outcomes: dict[str, Future[Outcome]]) -> Outcome:
    got = outcomes[kind.name].result()
    if got.out.startswith(NOT_HERE):
        pytest.skip(f"this machine does not let a user have it: {got.out.strip()}")
    return got


def ended_well(got: Outcome) -> None:
    assert (got.out, got.status) == ("held\nstill there\n", 7), got.err


@pytest.mark.parametrize("kind", of(RESTORED))
def test_it_comes_back_as_it_was(kind: Kind, outcomes: dict[str, Future[Outcome]]) -> None:
    got = of_kind(kind, outcomes)
    assert got.refusal == ""
    ended_well(got)


@pytest.mark.parametrize("kind", of(REFUSED))
def test_it_is_refused_before_the_dump_with_its_reason_and_the_job_runs_on(
    kind: Kind, outcomes: dict[str, Future[Outcome]]
) -> None:
    got = of_kind(kind, outcomes)
    assert re.search(r"\bprocess [0-9]+ \(", got.refusal)
    assert kind.words in got.refusal
    assert got.dumped is kind.dumped
    ended_well(got)


@pytest.mark.parametrize("kind", of(WARNED))
def test_it_is_dumped_and_what_will_not_be_as_before_is_in_its_log(
    kind: Kind, outcomes: dict[str, Future[Outcome]]
) -> None:
    got = of_kind(kind, outcomes)
    assert got.refusal == ""
    assert any(kind.words in line for line in got.log.splitlines())
    ended_well(got)


@pytest.mark.parametrize("kind", of(LOST))
def test_nobody_sees_from_outside_that_it_does_not_come_back(
    kind: Kind, outcomes: dict[str, Future[Outcome]]
) -> None:
    got = of_kind(kind, outcomes)
    assert (got.refusal, got.log.strip()) == ("", "")
    ended_well(got)
