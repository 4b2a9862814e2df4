# SPDX-License-Identifier: MIT
"""The store's root is root's, what lies below jobs/USER the user's; neither trusts the other."""

from __future__ import annotations

import json
import os
import resource
import threading
from pathlib import Path

import pytest

from tests.unit import real, samples
from torqueckpt.errors import StoreMissing, StoreNotWritable
from torqueckpt.identity import Owner
from torqueckpt.process import privileges
from torqueckpt.store import journal
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import OwnerStore, Store


def _links(store: Store) -> dict[str, str | None]:
    return {name: store.root.target(name) for name in store.root.names() if name != "jobs"}


def test_a_store_that_is_not_there_says_how_to_make_it(place: Path) -> None:
    with pytest.raises(StoreMissing, match="make install"):
        Store.open(place / "nowhere")


def test_a_store_behind_a_link_or_that_is_a_file_says_so(place: Path) -> None:
    (place / "real").mkdir()
    (place / "link").symlink_to("real")
    (place / "file").touch()
    for name in ("link", "file"):
        with pytest.raises(StoreNotWritable, match="link leads to it"):
            Store.open(place / name)


def test_an_owners_directory_is_made_by_root_for_him_alone(
    store: Store, owner_store: OwnerStore, user: Owner
) -> None:
    status = owner_store.path.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (user.uid, user.gid, 0o700)
    assert store.owners() == [user.name]


def test_an_owner_who_has_nothing_yet_has_no_directory(store: Store, user: Owner) -> None:
    with privileges.acting_as(user), pytest.raises(StoreMissing, match="nothing was checkpointed"):
        store.owner(user)


def test_a_user_cannot_make_his_directory_himself(store: Store, user: Owner) -> None:
    def work() -> str:
        privileges.drop(user)
        try:
            store.owner(user, make=True)
        except StoreMissing as missing:
            return str(missing)
        return "made"

    assert "root makes it at the first checkpoint" in real.in_child(work)


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o770, 0o777])
def test_an_owners_directory_that_others_can_enter_is_refused(
    store: Store, owner_store: OwnerStore, user: Owner, mode: int
) -> None:
    owner_store.path.chmod(mode)
    with privileges.acting_as(user), pytest.raises(StoreNotWritable, match="with mode 0700"):
        store.owner(user)


def test_an_owners_directory_that_is_anothers_is_refused(
    store: Store, owner_store: OwnerStore, user: Owner
) -> None:
    os.chown(owner_store.path, user.uid + 1, user.gid)
    with pytest.raises(StoreNotWritable, match=f"must belong to {user.name}"):
        store.owner(user)


def test_a_link_in_place_of_an_owners_directory_is_refused(
    store: Store, user: Owner, place: Path
) -> None:
    (place / "his").mkdir(mode=0o700)
    os.chown(place / "his", user.uid, user.gid)
    (store.root.path / "jobs" / user.name).symlink_to(place / "his")
    with privileges.acting_as(user), pytest.raises(StoreNotWritable):
        store.owner(user, make=True)


def test_a_link_swapped_from_image_to_image_is_there_and_whole_at_every_moment(
    store: Store, owner_store: OwnerStore, lineage: Lineage, user: Owner
) -> None:
    with privileges.acting_as(user):
        for _ in range(2):
            samples.generation(lineage, {"a.img": b"a"})
        store.link(4242, samples.JOB, user.name, lineage.name, 1)
    name = store.root.path / f"4242.{samples.JOB}"
    gaps: list[OSError] = []
    seen: set[str] = set()
    over = threading.Event()

    def look() -> None:  # as root: jobs/USER is closed to others
        while not over.is_set():
            try:
                seen.add(os.readlink(name))
            except OSError as gap:
                gaps.append(gap)

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(200):
        store.link(4242, samples.JOB, user.name, lineage.name, 1 + number % 2)
    over.set()
    reader.join()
    assert not gaps
    assert seen == {f"jobs/{user.name}/{lineage.name}/{number}/image" for number in (1, 2)}
    assert (name / "a.img").read_bytes() == b"a"


def test_a_link_that_leads_to_another_users_image_stays(
    store: Store, lineage: Lineage, user: Owner
) -> None:
    theirs = store.root.path / "jobs" / "bob" / "12.srv@1" / "1" / "image"
    theirs.mkdir(parents=True)
    theirs.parents[2].chmod(0o700)
    name = store.root.path / f"4242.{samples.JOB}"
    name.symlink_to("jobs/bob/12.srv@1/1/image")
    with privileges.acting_as(user):
        samples.generation(lineage, {"a.img": b"a"})
        with pytest.raises(FileExistsError):
            store.link(4242, samples.JOB, user.name, lineage.name, 1)
    assert os.readlink(name) == "jobs/bob/12.srv@1/1/image"


def test_a_job_with_a_new_exec_pid_keeps_only_its_new_link(
    store: Store, lineage: Lineage, user: Owner
) -> None:
    with privileges.acting_as(user):
        samples.generation(lineage, {"a.img": b"a"})
        store.link(4242, samples.JOB, user.name, lineage.name, 1)
        older = {f"4242.{samples.JOB}"}
        store.link(5555, samples.JOB, user.name, lineage.name, 1, older)
    target = f"jobs/{user.name}/{lineage.name}/1/image"
    assert _links(store) == {f"5555.{samples.JOB}": target}


def test_tidying_takes_only_that_owners_links_that_lead_nowhere(
    store: Store, lineage: Lineage, user: Owner
) -> None:
    with privileges.acting_as(user):
        samples.generation(lineage, {"a.img": b"a"})
    good = f"jobs/{user.name}/{lineage.name}/1/image"
    kept = {
        "1.11.srv": good,
        "2.12.srv": "jobs/another/x@1/1/image",
        "3.13.srv": f"jobs/{user.name}2/x@1/1/image",
        "4.14.srv": "/nowhere",
        "no-link-of-ours": f"jobs/{user.name}/x@1/1/image",
    }
    for name, target in {**kept, "5.15.srv": f"jobs/{user.name}/x@1/1/image"}.items():
        store.root.point(name, target)
    (store.root.path / "6.16.srv").write_text("a file")
    with privileges.acting_as(user):
        store.tidy(user.name)
    assert _links(store) == {**kept, "6.16.srv": None}


def test_tidying_the_store_takes_everybodys_links_that_lead_nowhere(
    store: Store, lineage: Lineage, user: Owner
) -> None:
    with privileges.acting_as(user):
        samples.generation(lineage, {"a.img": b"a"})
        (lineage.path / "2").symlink_to("1")
    kept = {
        "1.11.srv": f"jobs/{user.name}/{lineage.name}/1/image",
        "4.14.srv": "/nowhere",
        "5.15.srv": "jobs",
        "no-link-of-ours": f"jobs/{user.name}/x@1/1/image",
    }
    for name, target in kept.items():
        store.root.point(name, target)
    store.root.point("2.12.srv", "jobs/another/x@1/1/image")
    store.root.point("3.13.srv", f"jobs/{user.name}/x@1/1/image")
    store.root.point("6.16.srv", f"jobs/{user.name}/{lineage.name}/2/image")  # not followed
    store.tidy()
    assert _links(store) == kept


def test_of_very_many_links_so_many_are_looked_at_and_others_the_next_time(
    store: Store, owner_store: OwnerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torqueckpt.store.store._LOOKED_AT", 4)
    for number in range(10):
        store.root.point(f"{number}.11.srv", "jobs/another/x@1/1/image")
    left = []
    for now in (8, 1, 0):
        monkeypatch.setattr("torqueckpt.store.store.time.time", lambda now=now: now)
        store.tidy()
        left.append([int(name.partition(".")[0]) for name in _links(store)])
    assert left == [[2, 3, 4, 5, 6, 7], [2, 7], []]


def test_links_without_end_are_tidied_too(
    store: Store, owner_store: OwnerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torqueckpt.safe_files._MANY", 10)
    monkeypatch.setattr("torqueckpt.store.store._LINKS", 10)
    for number in range(15):
        store.root.point(f"{number}.11.srv", "jobs/another/x@1/1/image")
    left = []
    while left[-1:] != [0] and len(left) < 15:
        store.tidy()
        left.append(len([name for name in os.listdir(store.root.path) if name != "jobs"]))
    assert left[-1] == 0


def test_one_owners_links_keep_nobody_elses_from_being_looked_at(
    store: Store, owner_store: OwnerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torqueckpt.store.store._LOOKED_AT", 4)
    for number in range(20):
        store.root.point(f"{number}.11.srv", "jobs/another/x@1/1/image")
    store.root.point("99.12.srv", "jobs/third/x@1/1/image")
    store.tidy()
    assert "99.12.srv" not in _links(store)
    assert len(_links(store)) == 16


def test_links_are_roots_and_a_user_cannot_make_one(store: Store, user: Owner) -> None:
    with privileges.acting_as(user), pytest.raises(PermissionError):
        store.root.point("1.11.srv", "/tmp")


def test_a_job_id_leads_to_its_lineage_and_so_does_the_lineages_name(
    owner_store: OwnerStore, lineage: Lineage, user: Owner
) -> None:
    with privileges.acting_as(user):
        owner_store.belongs("13.srv", lineage)
        for name in (samples.JOB, "13.srv", lineage.name):
            found = owner_store.lineage_of(name)
            assert found is not None and found.name == lineage.name
        assert owner_store.lineage_of("14.srv") is None
        assert owner_store.lineage_of("14.srv@1700000000") is None
        assert [each.name for each in owner_store.lineages()] == [lineage.name]


@pytest.mark.parametrize("target", ["../..", "/etc", "lock", "12.srv@1/..", "..", "12.srv@2"])
def test_an_id_that_was_made_to_lead_elsewhere_leads_nowhere(
    owner_store: OwnerStore, lineage: Lineage, user: Owner, target: str
) -> None:
    with privileges.acting_as(user):
        (owner_store.path / "ids" / "66.srv").symlink_to(target)
        assert owner_store.lineage_of("66.srv") is None


def test_more_lineages_than_a_process_may_have_open_are_all_found(
    owner_store: OwnerStore, lineage: Lineage, user: Owner
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with privileges.acting_as(user):
        for number in range(100):
            owner_store.make_lineage(f"{number}.many@1700000000").directory.close()
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 20, limits[1])
        )
        try:
            found = [each.name for each in owner_store.lineages()]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert len(found) == 101
        assert [each.name for each in owner_store.lineages_of_first("7.many")] == [
            "7.many@1700000000"
        ]


@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_link_or_file_in_place_of_a_lineage_is_none(
    owner_store: OwnerStore, lineage: Lineage, user: Owner, kind: str
) -> None:
    planted = owner_store.path / "66.srv@1"
    with privileges.acting_as(user):
        if kind == "link":
            planted.symlink_to("/")
        else:
            planted.touch()
        assert owner_store.lineage_of("66.srv@1") is None
        assert [each.name for each in owner_store.lineages()] == [lineage.name]


def test_a_lineage_that_is_forgotten_goes_with_all_its_names_and_no_others(
    owner_store: OwnerStore, lineage: Lineage, user: Owner
) -> None:
    with privileges.acting_as(user):
        samples.generation(lineage, {"a.img": b"a"})
        owner_store.belongs("13.srv", lineage)
        other = owner_store.make_lineage("14.srv@1700000000")
        owner_store.belongs("14.srv", other)
        owner_store.forget(lineage)
        assert [each.name for each in owner_store.lineages()] == [other.name]
        assert os.listdir(owner_store.path / "ids") == ["14.srv"]


def test_the_journal_gets_a_line_for_each_event(owner_store: OwnerStore, user: Owner) -> None:
    with privileges.acting_as(user):
        journal.note(owner_store, "checkpoint", samples.JOB, generation=1)
        journal.note(owner_store, "checkpoint-failed", samples.JOB, reason="two\nlines \udce9")
    lines = [json.loads(line) for line in (owner_store.path / "journal").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["checkpoint", "checkpoint-failed"]
    assert lines[1]["reason"] == "two\nlines \udce9"
