# SPDX-License-Identifier: MIT
"""Whose last checkpoint is waited for, and until when; real processes, a server's words."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

import pytest

from tests.support import LIMIT_SECONDS
from torqueckpt.chain import walltime
from torqueckpt.identity import Owner
from torqueckpt.ifl.records import Job
from torqueckpt.process import privileges, proc
from torqueckpt.settings import Settings
from torqueckpt.store import chain
from torqueckpt.store.chain import End, Link, Links
from torqueckpt.store.store import OwnerStore

Started = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def leader(started: Started) -> int:
    return started("/bin/sleep", "60").pid


def job(user: Owner, leader: int, variables: str = "A=1", **resources: str) -> Job:
    """As the server tells it; resources_used as used="0:10"."""
    used = resources.pop("used", "0:00")
    return Job(
        "12.srv",
        {
            "Job_Owner": f"{user.name}@node1",
            "session_id": str(leader),
            "queue": "long",
            "Variable_List": variables,
            "Resource_List": {"walltime": "1:00:00", **resources},
            "resources_used": {"walltime": used},
        },
    )


def settings(owner_store: OwnerStore, **options: object) -> Settings:
    return Settings(store=owner_store.path.parent.parent, **options)  # type: ignore[arg-type]


def test_a_job_says_so_itself_or_its_queue_or_it_is_a_link_of_a_chain_that_goes_on(
    owner_store: OwnerStore, user: Owner, leader: int
) -> None:
    def limit(variables: str = "A=1", **options: object) -> float | None:
        return walltime._limit_of(job(user, leader, variables), settings(owner_store, **options))

    assert limit() is None
    assert limit("A=1,TORQUECKPT_CHAIN=0") is None
    assert limit("A=1,TORQUECKPT_CHAIN=1") == pytest.approx(3600, abs=LIMIT_SECONDS)
    assert limit(chain_queues=("short",)) is None
    assert limit(chain_queues=("short", "long")) == pytest.approx(3600, abs=LIMIT_SECONDS)
    with privileges.acting_as(user):
        made = chain.make(owner_store, "11.srv", 1700000000)
        made.write(Links("11.srv", "/", (Link("12.srv", "node1", 1700000000, "", 0),)))
    assert limit() == pytest.approx(3600, abs=LIMIT_SECONDS)
    with privileges.acting_as(user):
        made.write_end(End(chain.CANCELLED, 0, "12.srv", 1700000000, ""))
    assert limit() is None


def test_what_the_server_counts_beyond_the_age_of_the_session_comes_off(
    owner_store: OwnerStore, user: Owner, leader: int
) -> None:
    """As after a restart in place, or with a MOM whose minutes are shorter."""
    time.sleep(1.1)
    asks, chosen = "TORQUECKPT_CHAIN=1", settings(owner_store)
    stat = proc.stat(leader)
    assert stat is not None
    age = proc.age_seconds(stat)
    assert age > 1
    limit = walltime._limit_of(job(user, leader, asks, used="30:00"), chosen)
    assert limit is not None
    assert 1800 + age - 1 < limit < 1800 + proc.age_seconds(stat) + 1
    assert walltime._limit_of(job(user, leader, asks, used="0:00"), chosen) == 3600


def test_a_job_without_a_limit_or_whose_session_has_ended_has_none(
    owner_store: OwnerStore, user: Owner, started: Started
) -> None:
    asks, chosen = "TORQUECKPT_CHAIN=1", settings(owner_store)
    gone = started("/bin/true")
    gone.wait()
    assert walltime._limit_of(job(user, gone.pid, asks), chosen) is None
    lives = started("/bin/sleep", "60").pid
    assert walltime._limit_of(job(user, lives, asks, walltime=""), chosen) is None


def test_nobody_waits_yet_for_a_limit_that_is_hours_away(
    owner_store: OwnerStore, user: Owner, leader: int
) -> None:
    known, chosen = job(user, leader, "TORQUECKPT_CHAIN=1"), settings(owner_store)
    assert not walltime._is_near(known, 24 * 3600.0, chosen)
    assert walltime._is_near(known, 0.0, chosen)


def test_where_nobody_is_left_to_be_ended_nothing_is_waited_for(
    owner_store: OwnerStore, user: Owner, started: Started
) -> None:
    gone = started("/bin/true")
    gone.wait()
    walltime.end_in_time("12.srv", gone.pid, user.name, 3600, settings(owner_store))
