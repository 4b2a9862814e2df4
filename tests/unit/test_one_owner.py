# SPDX-License-Identifier: MIT
"""One owner is as hostile as can be, and the others lose nothing: each loop over owners."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import accounts
from tests.support import LIMIT_SECONDS
from tests.unit import hostile, real, samples
from torqueckpt import budget, log
from torqueckpt.cli import images, ownership
from torqueckpt.identity import Owner
from torqueckpt.ifl.errors import PbsError
from torqueckpt.ifl.records import Job
from torqueckpt.images import prune
from torqueckpt.node import hook_calls, owner_looks, periodic_images
from torqueckpt.node.periodic import Periodic
from torqueckpt.process import privileges
from torqueckpt.reports import html, metrics, report
from torqueckpt.settings import Settings
from torqueckpt.store import index, journal
from torqueckpt.store.generation import Generation
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import Store

# Swaps and fills as fast as it can what root reads and removes, as its owner.
SWAPS = """
import os, sys, time
os.chdir(sys.argv[1])
count = 0
while True:
    for one, other in (("live.json", "journal"), ("index.json", "1/manifest.json"), ("1", "2")):
        try:
            os.rename(one, "aside"); os.rename(other, one); os.rename("aside", other)
        except OSError:
            pass
    count += 1
    time.sleep(0.01)
    try:
        os.makedirs(f"3.partial/{count}/x/y")
    except OSError:
        pass
"""


class Node(NamedTuple):
    """A store with one hostile owner and ten others, each with a job, an image and a journal."""

    settings: Settings
    hostile: Owner
    others: list[Owner]

    def job(self, each: Owner) -> str:
        return f"{1 + self.others.index(each)}.srv"


@pytest.fixture(scope="module")
def people(root: None) -> Iterator[list[Owner]]:
    beginning = accounts.new_name()
    with accounts.users(*(f"{beginning}{letter}" for letter in "abcdefghijk")) as made:
        yield [privileges.owner(each.name) for each in made]


@pytest.fixture(scope="module")
def node(people: list[Owner]) -> Iterator[Node]:
    top = Path(tempfile.mkdtemp(prefix="torqueckpt-unit-")).resolve()
    top.chmod(0o755)
    (top / "store" / "jobs").mkdir(parents=True)
    store = Store.open(top / "store")
    worst, *others = people[4:5] + people[:4] + people[5:]  # in the midst of them by name
    chosen = Settings(store=store.root.path, local_home=top, user_quota_mib=10)
    found = Node(chosen, worst, others)
    for each in others:
        with privileges.acting_as(each):
            owner_store = store.owner(each, make=True)
            lineage = owner_store.make_lineage(f"{found.job(each)}@1700000000")
            owner_store.belongs(found.job(each), lineage)
            for _ in range(2):
                samples.generation(lineage, {"pages-1.img": bytes(6 << 20)})
            journal.note(owner_store, "checkpoint", found.job(each), bytes=100, frozen_us=7)
    with hostile.made(store, worst) as place:
        swapped = place / f"{hostile.JOBS[0]}@1700000000"
        argv = privileges.as_owner_argv(worst, (), ["/usr/bin/python3", "-c", SWAPS, str(swapped)])
        swaps = subprocess.Popen(argv)
        try:
            yield found
        finally:
            swaps.kill()
            swaps.wait()
    shutil.rmtree(top)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Budgets of which the hostile one spends little, on a machine that may be slow."""
    for name in ("ROUND", "FIGURES", "PRUNE", "VERIFY"):
        limits: budget.Limits = getattr(budget, name)
        monkeypatch.setattr(budget, name, limits._replace(size=40 << 20, seconds=LIMIT_SECONDS))
    monkeypatch.setattr(periodic_images, "_SECONDS", LIMIT_SECONDS)
    monkeypatch.setattr(owner_looks, "_PATIENCE_SECONDS", LIMIT_SECONDS)


def test_the_periodic_service_takes_all_that_is_due_of_the_others(
    node: Node, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The server leaves all to the hook, and that of the hostile one's forks and never ends."""
    program, called, ends = tmp_path / "hook", tmp_path / "called", tmp_path / "ends"
    mine = "|".join(hostile.JOBS)
    program.write_text(
        f"#!/bin/sh\ncase $2 in {mine}) cat {ends} & cat {ends};; esac\necho $2 >>{called}\n"
    )
    program.chmod(0o755)
    os.mkfifo(ends)
    monkeypatch.setattr(hook_calls.paths, "program", lambda *_: program)
    clock, leader = time.time, subprocess.Popen(["/bin/sleep", "6000"])
    monkeypatch.setattr(time, "time", lambda: clock() + 4000)
    jobs = dict.fromkeys(hostile.JOBS, node.hostile.name)
    jobs.update({node.job(each): each.name for each in node.others})
    service, server = Periodic(node.settings), _Server(jobs, leader.pid)
    others = sorted(node.job(each) for each in node.others)

    def all_called() -> bool:
        service._hooks.turn()
        return called.exists() and set(others) <= set(called.read_text().split())

    try:
        service.round(server, stays=True)
        real.until(all_called, "the hooks of ten owners")
        assert sorted(called.read_text().split()) == others
        assert f"{node.hostile.name}: left out: more than 40 MiB to read" in log.lines()
        for _ in hostile.JOBS:  # each is reached some time, and nobody's hook is called again
            service.round(server, stays=True)
        assert set(service._looks._reached) == {*others, *hostile.JOBS}
        assert sorted(called.read_text().split()) == others
    finally:
        if any(service._hooks.has(each) for each in hostile.JOBS):
            os.close(os.open(ends, os.O_WRONLY))
        leader.kill()
        leader.wait()


class _Server:
    is_openpbs, server = False, "srv"

    def __init__(self, jobs: dict[str, str], session: int) -> None:
        self._jobs, self._session = jobs, session

    def jobs(self, attributes: object = (), *, where: str = "") -> list[Job]:
        return [self.job(each) for each in self._jobs]

    def job(self, job_id: str, attributes: object = (), *, ended: bool = False) -> Job:
        mine = job_id in hostile.JOBS
        walltime = {"walltime": f"{hostile.HUGE}:{hostile.HUGE}"}
        if job_id == hostile.JOBS[0]:  # so that its dumps so far are looked for
            walltime = {"walltime": "1:00:00"}
        return Job(
            job_id,
            {
                "Job_Owner": f"{self._jobs[job_id]}@srv",
                "job_state": "R",
                "exec_host": f"{os.uname().nodename}/0",
                "Checkpoint": "c=1",
                "session_id": str(self._session),
                "Variable_List": f"TORQUECKPT_CHAIN={hostile.HUGE}" if mine else "",
                "Resource_List": walltime if mine else {},
                "resources_used": walltime if mine else {},
            },
        )

    def checkpoint(self, job_id: str) -> None:
        raise PbsError(call="pbs_checkpointjob", text="not checkpointable", number=15066)


def test_root_lists_the_images_of_all_others(
    node: Node, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(images.settings, "load", lambda: node.settings)
    images.list_command(["--json"], standalone_mode=False)
    told = capsys.readouterr()
    rows = [(row["lineage"], row["owner"], row["whole"]) for row in json.loads(told.out)]
    for each in node.others:
        assert rows.count((f"{node.job(each)}@1700000000", each.name, True)) == 2
    assert f"{node.hostile.name}: left out: " in told.err


def test_root_finds_whose_job_it_is(node: Node) -> None:
    for each in node.others:
        assert ownership.owner_of(node.job(each), node.settings, None) == each


def test_root_prunes_what_is_the_others(node: Node) -> None:
    told: list[str] = []
    gone = prune.prune(None, node.settings, None, dry_run=True, tell=told.append)
    assert {each.owner for each in gone} >= {each.name for each in node.others}
    assert any(line.startswith(f"{node.hostile.name}: left out: ") for line in told)


def test_reports_and_figures_tell_of_the_others(node: Node) -> None:
    everybody = [*node.others, node.hostile]
    told: list[str] = []
    rows = report.report(everybody, "user", 0, node.settings, told.append)
    assert {row.name for row in rows} >= {each.name for each in node.others}
    assert all(each.name in html.page(everybody, 0, node.settings) for each in node.others)
    figures = metrics.text(everybody, node.settings, told.append).decode()
    for each in node.others:
        assert (
            f'torqueckpt_images{{job="{node.job(each)}@1700000000",user="{each.name}"}} 2.0'
            in figures
        )
    assert any(line.startswith(f"{node.hostile.name}: left out: ") for line in told)


def test_a_lineage_with_more_generations_than_descriptors_is_pruned(
    lineage: Lineage, user: Owner
) -> None:
    with privileges.acting_as(user):
        for _ in range(2):
            samples.generation(lineage, {"pages-1.img": bytes(2 << 20)})
        for number in range(3, 300):
            lineage.directory.make(str(number)).close()
    chosen = Settings(store=lineage.path.parents[2], user_quota_mib=1)
    told: list[str] = []
    few = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, few[1]))
    try:
        gone = prune.prune(user, chosen, None, tell=told.append)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, few)
    assert [each.generations for each in gone] == [(1,)]
    assert told == []


@pytest.mark.parametrize("kind", ["closed", "deep"])
def test_what_a_user_hides_is_told_and_counts_as_over_his_quota(
    lineage: Lineage, user: Owner, kind: str
) -> None:
    with privileges.acting_as(user):
        for _ in range(2):
            samples.generation(lineage, {"pages-1.img": b"pages"})
        hidden = lineage.path / "hidden"
        (hidden / "/".join(["d"] * (100 if kind == "deep" else 1))).mkdir(parents=True)
        hidden.chmod(0o700 if kind == "deep" else 0)
    told: list[str] = []
    chosen = Settings(store=lineage.path.parents[2], user_quota_mib=1000)
    gone = prune.prune(user, chosen, None, tell=told.append)
    assert [each.generations for each in gone] == [(1,)]
    why = "directories more than 30 deep" if kind == "deep" else "Permission denied"
    assert told == [f"{lineage.name}: what it takes cannot be counted: {why}"]


def test_an_index_that_has_every_manifest_read_again_keeps_no_hook(
    lineage: Lineage, user: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = index._READ._replace(size=3 << 20)
    monkeypatch.setattr(index, "_READ", limits)
    reads: list[int] = []
    read = Generation.manifest
    monkeypatch.setattr(Generation, "manifest", lambda self: reads.append(1) or read(self))
    with privileges.acting_as(user):
        made = samples.generation(lineage, {"pages-1.img": b"pages"})
        manifest = lineage.path / "1" / "manifest.json"
        manifest.write_bytes(manifest.read_bytes()[:-1] + b" " * (1 << 20) + b"}")
        for number in range(2, 50):
            (lineage.path / str(number) / "image").mkdir(parents=True)
            os.link(manifest, lineage.path / str(number) / "manifest.json")
        last = samples.generation(lineage, {"pages-1.img": b"pages"})
        assert list(index.current(lineage, {}, last)) == [last.generation]
    assert 2 <= len(reads) <= 3
    assert made.generation == 1
