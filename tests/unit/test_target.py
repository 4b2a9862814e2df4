# SPDX-License-Identifier: MIT
"""Which lineage a checkpoint belongs to, and whether a call has had its answer already."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

import pytest

from tests.unit import real, samples
from torqueckpt import log
from torqueckpt.checkpoint import target
from torqueckpt.checkpoint.target import find_lineage
from torqueckpt.errors import OwnProgramInTree
from torqueckpt.identity import Owner
from torqueckpt.process import privileges, proc
from torqueckpt.request import CheckpointRequest
from torqueckpt.settings import Settings
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import OwnerStore

Start = Callable[..., subprocess.Popen[bytes]]


def _asked(process: subprocess.Popen[bytes], end: bool = False) -> CheckpointRequest:
    return CheckpointRequest(sid=process.pid, job_id=samples.JOB, exec_pid=process.pid, end=end)


def test_jobs_of_one_number_that_begin_in_one_second_have_a_lineage_each(
    owner_store: OwnerStore, user: Owner, started: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proc, "start_epoch", lambda process: 1700000000)
    jobs = [started("/bin/sleep", "60") for _ in range(3)]
    with privileges.acting_as(user):
        found = [find_lineage(owner_store, _asked(job), Settings()).name for job in jobs]
        again = [find_lineage(owner_store, _asked(job), Settings()).name for job in jobs]
    assert found == again == [f"{samples.JOB}@{second}" for second in range(1700000000, 1700000003)]


def test_a_lineage_that_was_made_but_for_its_leader_is_used(
    owner_store: OwnerStore, user: Owner, started: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proc, "start_epoch", lambda process: 1700000000)
    with privileges.acting_as(user):
        owner_store.make_lineage(samples.LINEAGE)
        assert find_lineage(owner_store, _asked(started("/bin/sleep", "60")), Settings()).name == (
            samples.LINEAGE
        )


def test_a_restart_in_place_that_is_under_way_is_told_as_one(user: Owner, started: Start) -> None:
    process = started("bash", "-c", "exec -a /usr/local/sbin/mom-restart sleep 60")
    real.execed(process.pid, "/usr/local/sbin/mom-restart")
    with privileges.acting_as(user), pytest.raises(OwnProgramInTree, match=str(process.pid)):
        target.find_tree(None, _asked(process), Settings())


@pytest.mark.parametrize("end", [False, True])
def test_an_image_is_no_answer_to_a_call_that_ends_a_job_which_runs(
    lineage: Lineage, user: Owner, started: Start, monkeypatch: pytest.MonkeyPatch, end: bool
) -> None:
    job = started("/bin/sleep", "60")
    with privileges.acting_as(user):
        monkeypatch.setattr(time, "time", lambda: samples.a_manifest().created)
        manifest = samples.generation(lineage, {"core-4242.img": b"x"})
        asked = CheckpointRequest(
            **{"sid": job.pid, "job_id": samples.JOB, "exec_pid": job.pid, "end": end},
            name=manifest.checkpoint_name,
        )
        since, last = manifest.created - 5, target.last_image(lineage, samples.KEY)
        found = target.made_already(lineage, asked, since, last)
        assert found == (None if end else manifest)
        job.kill()
        job.wait()
        assert target.made_already(lineage, asked, since, last) == manifest


@pytest.mark.parametrize(
    ("name", "age", "waited", "answered"),
    [
        ("ckpt.12.srv.1", 5, True, True),  # MOM called again, a second later
        ("ckpt.12.srv.1", 1, False, False),  # somebody asked again
        ("", 1, False, True),  # the service, after a server that said neither yes nor no
        ("", 5, False, False),
        ("mine", 1, True, False),
        ("mine", 1, False, False),
    ],
)
def test_an_image_made_meanwhile_is_the_answer_whatever_its_name(
    lineage: Lineage,
    user: Owner,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    age: int,
    waited: bool,
    answered: bool,
) -> None:
    with privileges.acting_as(user):
        made = samples.a_manifest().created
        monkeypatch.setattr(time, "time", lambda: made + age)
        manifest = samples.generation(lineage, {"core-4242.img": b"x"})
        assert manifest.checkpoint_name != name
        asked = CheckpointRequest(4241, samples.JOB, name=name)
        last = target.last_image(lineage, samples.KEY)
        found = target.made_already(lineage, asked, made + age - 2, last, waited)
        assert found == (manifest if answered else None)


def test_an_image_that_root_did_not_sign_is_no_answer_though_it_is_read(
    lineage: Lineage, user: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with privileges.acting_as(user):
        monkeypatch.setattr(time, "time", lambda: samples.a_manifest().created)
        manifest = samples.generation(lineage, {"core-4242.img": b"x"})
        asked = CheckpointRequest(4241, samples.JOB, name=manifest.checkpoint_name)
        for key, answer in ((samples.KEY, manifest), (bytes(32), None)):
            last = target.last_image(lineage, key)
            assert last is not None and last.manifest == manifest
            assert target.made_already(lineage, asked, manifest.created - 5, last) == answer


def test_a_file_where_the_newest_image_should_be_is_told_and_passed_over(
    lineage: Lineage, user: Owner
) -> None:
    with privileges.acting_as(user):
        (lineage.path / "7").write_text("no directory")
        assert target.last_image(lineage, samples.KEY) is None
    assert f"job {samples.JOB}: no whole image of generation 7" in log.lines()
