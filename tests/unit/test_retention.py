# SPDX-License-Identifier: MIT
"""Which images go: never the one that a job needs, and no more than has to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from torqueckpt.images import retention
from torqueckpt.images.retention import DAY, MIB, GenerationUsage, LineageUsage
from torqueckpt.settings import Settings

NOW = 1000 * DAY
HOUSE = Settings(reserve_mib=0)


def images(
    owner: str = "ann",
    lineage: str = "12.srv@1",
    sizes: tuple[int, ...] = (10, 10, 10),
    newest: int | None = None,
    ended_since: int | None = None,
    age_days: int = 0,
) -> LineageUsage:
    """A lineage with images of so many MiB, a day apart, the last one age_days old."""
    made = tuple(
        GenerationUsage(owner, lineage, n, NOW - (age_days + len(sizes) - n) * DAY, size * MIB)
        for n, size in enumerate(sizes, 1)
    )
    newest = len(sizes) if newest is None else newest
    return LineageUsage(owner, lineage, made, newest, ended_since, sum(sizes) * MIB)


def went(
    *found: LineageUsage, free: int | None = 10**15, **options: int
) -> list[tuple[str, tuple]]:
    chosen = Settings(**{"reserve_mib": 0, **options})
    going = retention.plan(list(found), chosen, NOW, free)
    return [(each.lineage, each.generations) for each in going]


def test_nothing_goes_while_there_is_room_and_nothing_is_over() -> None:
    assert went(images(age_days=400)) == []


def test_old_ones_go_but_not_the_newest_that_is_whole() -> None:
    assert went(images(age_days=50), keep_days=30) == [("12.srv@1", (1,)), ("12.srv@1", (2,))]
    assert went(images(age_days=50, newest=2), keep_days=30) == [("12.srv@1", (1,))]
    assert went(images(age_days=50, newest=0), keep_days=30) == []


def test_the_newest_that_would_come_back_stays_beside_a_newer_one_that_is_doubtful() -> None:
    found = images(age_days=50)._replace(good=1)
    assert went(found, keep_days=30) == [("12.srv@1", (2,))]


def test_what_is_over_goes_whole_after_its_grace_and_not_before() -> None:
    for since, expected in ((NOW - 7 * DAY, [("12.srv@1", (1, 2, 3))]), (NOW - 7 * DAY + 1, [])):
        assert went(images(ended_since=since)) == expected
    assert went(images(ended_since=1), keep_ended_days=0) == []
    assert went(images(ended_since=None, age_days=400)) == []


def test_a_clock_that_was_set_back_lets_nothing_go() -> None:
    later = images(ended_since=NOW + 90 * DAY, age_days=-90)
    assert went(later, keep_days=1) == []


def test_over_its_quota_a_users_oldest_go_until_he_is_within_and_nobody_elses() -> None:
    one, two = images(lineage="1.srv@1", age_days=9), images(lineage="2.srv@1")
    others = images("bob", "3.srv@1", sizes=(1, 1), age_days=99)
    assert went(one, two, others, user_quota_mib=45) == [("1.srv@1", (1,)), ("1.srv@1", (2,))]
    needed = [("1.srv@1", (1,)), ("1.srv@1", (2,)), ("2.srv@1", (1,)), ("2.srv@1", (2,))]
    assert went(one, two, others, user_quota_mib=5) == needed


def test_whoever_takes_what_cannot_be_counted_is_over_his_quota() -> None:
    hides = images()._replace(unknown="Permission denied")
    others = images("bob", "2.srv@1")
    assert went(hides, others, user_quota_mib=100) == [("12.srv@1", (1,)), ("12.srv@1", (2,))]
    assert went(hides, others) == []


def test_very_many_images_are_planned_for_in_one_go() -> None:
    many = images(sizes=(1,) * 20_000)
    assert len(went(many, user_quota_mib=1, store_limit_mib=1, keep_days=10)) == 19_999


def test_a_job_that_ended_keeps_its_newest_for_its_grace_whatever_is_short() -> None:
    ended = images(ended_since=NOW - DAY)
    assert went(ended, user_quota_mib=1, store_limit_mib=1, free=0, reserve_mib=10**6) == [
        ("12.srv@1", (1,)),
        ("12.srv@1", (2,)),
    ]


def test_a_store_that_is_too_large_takes_from_whoever_takes_most() -> None:
    """What an owner writes into his manifests makes nobody else's go."""
    large = images("ann", "1.srv@1", sizes=(50, 50, 50), age_days=0)
    small = images("bob", "2.srv@1", sizes=(5, 5, 5), age_days=90)
    assert went(large, small, store_limit_mib=120) == [("1.srv@1", (1,))]


def test_too_little_free_makes_room_for_the_next_image_beside_the_reserve() -> None:
    found = images(sizes=(10, 10, 30))
    assert went(found, free=75 * MIB, reserve_mib=50) == [("12.srv@1", (1,))]
    assert went(found, free=80 * MIB, reserve_mib=50) == []


def test_what_goes_for_being_over_makes_room_first() -> None:
    gone, running = images(lineage="1.srv@1", ended_since=1), images(lineage="2.srv@1")
    answer = [("1.srv@1", (1, 2, 3))]
    assert went(gone, running, free=20 * MIB, reserve_mib=40) == answer
    assert went(gone, running, store_limit_mib=30) == answer


def test_one_owners_call_looks_at_his_quota_and_age_alone() -> None:
    assert went(images(), free=None, store_limit_mib=1, reserve_mib=10**6) == []


@st.composite
def stores(draw: st.DrawFn) -> list[LineageUsage]:
    return [
        images(
            draw(st.sampled_from(["ann", "bob"])),
            f"{n}.srv@1",
            tuple(draw(st.lists(st.integers(0, 50), min_size=1, max_size=4))),
            newest=draw(st.integers(0, 4)),
            ended_since=draw(st.none() | st.integers(NOW - 20 * DAY, NOW + DAY)),
            age_days=draw(st.integers(-5, 60)),
        )
        for n in range(draw(st.integers(0, 5)))
    ]


@given(stores(), st.integers(0, 100), st.integers(0, 100), st.integers(0, 100), st.integers(0, 40))
def test_whatever_the_limits_a_job_that_is_not_over_keeps_its_newest_and_nothing_goes_twice(
    found: list[LineageUsage], quota: int, limit: int, free: int, days: int
) -> None:
    chosen = Settings(user_quota_mib=quota, store_limit_mib=limit, reserve_mib=50, keep_days=days)
    going = retention.plan(found, chosen, NOW, free * MIB)
    names = {each.lineage: each for each in found}
    each_gone = [(g.lineage, n) for g in going for n in g.generations]
    assert len(each_gone) == len(set(each_gone))
    for each in going:
        lineage = names[each.lineage]
        if each.all:
            assert lineage.ended_since is not None and lineage.ended_since + 7 * DAY <= NOW
        else:
            assert all(n < lineage.newest for n in each.generations)
