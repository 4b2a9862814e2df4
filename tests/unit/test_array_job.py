# SPDX-License-Identifier: MIT
"""Which members of an array did not finish, and the script in which they go on."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.unit import samples
from torqueckpt import paths
from torqueckpt.batch import qsub_options
from torqueckpt.errors import NoArray, UnknownJob
from torqueckpt.identity import Owner
from torqueckpt.ifl import errors
from torqueckpt.ifl.records import Job
from torqueckpt.manifest import Directive
from torqueckpt.process import privileges
from torqueckpt.resubmit import array_job
from torqueckpt.resubmit.array_job import FAILED, FINISHED, GOES_ON, UNKNOWN, Array
from torqueckpt.settings import Settings
from torqueckpt.typed_json import plain

ARRAY = "12[].srv"


class Torque:
    """Knows these members: index → (state, exit status)."""

    is_openpbs = False

    def __init__(self, known: dict[int, tuple[str, str]]) -> None:
        self._jobs = {
            f"12[{index}].srv": {"job_state": state, self.status: status}
            for index, (state, status) in known.items()
        }

    status = "exit_status"

    def jobs(self, attributes: Iterable[str] = (), *, where: str = "") -> list[Job]:
        return [Job(name, told) for name, told in self._jobs.items()]

    def job(self, job_id: str, attributes: Iterable[str] = (), *, ended: bool = False) -> Job:
        if job_id not in self._jobs:
            raise errors.UnknownJob(call="pbs_statjob", text="unknown", number=15001)
        return Job(job_id, self._jobs[job_id])


class OpenPbs(Torque):
    is_openpbs = True
    status = "Exit_status"

    def __init__(self, known: dict[int, tuple[str, str]]) -> None:
        super().__init__(known)
        self._jobs[ARRAY] = {"job_state": "F", "array_indices_submitted": "0-6:2,7"}


@pytest.fixture
def me(tmp_path: Path) -> Owner:
    return privileges.owner_of_uid(os.getuid())


@pytest.fixture
def store(tmp_path: Path, me: Owner) -> Settings:
    """Members 2, 4 and 7 have images, member 4 was resumed as 12[6]."""
    home = tmp_path.resolve() / "jobs" / me.name
    (home / "ids").mkdir(parents=True)
    home.chmod(0o700)
    for index in (2, 4, 7):
        lineage = home / f"12[{index}].srv@1700000000"
        lineage.mkdir()
        (home / "ids" / f"12[{index}].srv").symlink_to(lineage.name)
        job = f"12[{6 if index == 4 else index}].srv"
        record = json.dumps(plain(samples.live()._replace(job=job)))
        (lineage / "live.json").write_text(record)
    (home / "ids" / "12.srv").symlink_to("12[2].srv@1700000000")
    (home / "ids" / "12[3].other").symlink_to("12[2].srv@1700000000")
    return Settings(store=tmp_path.resolve())


ENDED = {0: ("C", "0"), 2: ("C", "271"), 4: ("C", "265"), 6: ("C", "7"), 7: ("R", "")}


@pytest.mark.parametrize("server", [Torque, OpenPbs])
def test_the_killed_failed_the_resumed_count_as_what_they_became(
    server: type[Torque], store: Settings, me: Owner
) -> None:
    found = array_job.look(ARRAY, me, store, server(ENDED))
    assert found.members == {0: FINISHED, 2: FAILED, 4: FINISHED, 6: FINISHED, 7: GOES_ON}
    assert found.with_image == {2, 4, 7}
    assert found.those(FAILED) == [2]


def test_what_the_server_has_forgotten_is_not_taken_for_failed(store: Settings, me: Owner) -> None:
    found = array_job.look(ARRAY, me, store, Torque({2: ("C", "")}))
    assert found.members == {2: UNKNOWN, 4: UNKNOWN, 7: UNKNOWN}


def test_members_that_are_named_must_have_an_image(store: Settings, me: Owner) -> None:
    assert array_job.named([2, 7], ARRAY, me, store).those(FAILED) == [2, 7]
    with pytest.raises(UnknownJob, match=r"12\[3\]\.srv"):
        array_job.named([2, 3], ARRAY, me, store)


@pytest.mark.parametrize(
    ("text", "indices"),
    [("3", [3]), ("1,3-5", [1, 3, 4, 5]), ("0-10:5%2", [0, 5, 10]), ("7-7", [7]), ("5-3", [])],
)
def test_lists_are_read_as_qsub_reads_them(text: str, indices: list[int]) -> None:
    assert array_job.parse(text) == indices


@pytest.mark.parametrize("text", ["", "a", "1,", "1-", "-1", "1:2", "0-9999999", "1-2:0"])
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected|too many"):
        array_job.parse(text)


def test_what_the_server_made_of_the_arrays_options_for_a_member_is_taken_back() -> None:
    member = [
        Directive("N", "relax-3"),
        Directive("o", "srv:/home/ann/out-3"),
        Directive("l", "walltime=1:00:03-3"),
    ]
    assert [each.value for each in qsub_options.of_array(member, 3)] == [
        *("relax", "srv:/home/ann/out", "walltime=1:00:03-3")
    ]


def test_a_members_output_that_the_server_named_is_named_anew() -> None:
    told = {"Job_Name": "relax-3", "Output_Path": "srv:/home/ann/relax.o12-3"}
    assert not [
        each for each in qsub_options.of_server(Job("12[3].srv", told)) if each.option == "o"
    ]
    told["Output_Path"] = "srv:/home/ann/mine-3"
    assert [
        each.value for each in qsub_options.of_server(Job("12[3].srv", told)) if each.option == "o"
    ]


def _script(openpbs: bool, monkeypatch: pytest.MonkeyPatch, hosts: dict[int, str]) -> str:
    def image(found: Array, index: int, owner: Owner, settings: Settings) -> array_job.ResumeSource:
        manifest = samples.a_manifest(host=hosts[index], job=samples.job(name=f"relax-{index}"))
        return array_job.ResumeSource(manifest, [Directive("q", "long")])

    monkeypatch.setattr(array_job, "image_of", image)
    found = Array(ARRAY, dict.fromkeys(hosts, FAILED), frozenset(hosts), openpbs)
    owner = privileges.owner_of_uid(os.getuid())
    return array_job.text(found, sorted(hosts), owner, Settings(), ("--accept-changed-files",))[0]


def _chosen(script: str, variable: str, index: int) -> str:
    """What the script would resume."""
    shown = script.replace("exec ", "echo ")
    environment = {"PBS_O_WORKDIR": "/", variable: str(index)}
    done = subprocess.run(["/bin/sh"], input=shown, env=environment, capture_output=True, text=True)
    return done.stdout.strip().rpartition(" ")[2] if done.returncode == 0 else str(done.returncode)


def test_under_torque_the_new_array_has_the_old_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    script = _script(False, monkeypatch, {3: "node1", 7: "node1"})
    program = str(paths.program("bin", "torqueckpt"))
    golden = Path(__file__).parent / "golden/torque/resume_array.sh"
    assert script.replace(program, "/usr/local/bin/torqueckpt") == golden.read_text()
    found = [_chosen(script, "PBS_ARRAYID", index) for index in (3, 7, 0)]
    assert found == ["12[3].srv", "12[7].srv", "125"]


def test_under_openpbs_which_takes_ranges_alone_it_counts_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = _script(True, monkeypatch, {3: "node1", 7: "node1"})
    assert "#PBS -J 0-1\n" in script
    found = [_chosen(script, "PBS_ARRAY_INDEX", index) for index in (0, 1, 3)]
    assert found == ["12[3].srv", "12[7].srv", "125"]


@pytest.mark.parametrize(
    ("openpbs", "hosts", "why"),
    [
        (False, {}, "no member"),
        (True, {3: "node1"}, r"resume-job '12\[3\].srv'"),
        (False, {3: "node1", 4: "node2"}, "node1, node2"),
    ],
)
def test_what_makes_no_array_says_why(
    monkeypatch: pytest.MonkeyPatch, openpbs: bool, hosts: dict[int, str], why: str
) -> None:
    with pytest.raises(NoArray, match=why):
        _script(openpbs, monkeypatch, hosts)
