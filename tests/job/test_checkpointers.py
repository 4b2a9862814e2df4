# SPDX-License-Identifier: MIT
"""What each checkpointer must do for a job, and how each fails: the same tests for all of them.

Altix's and BLCR's programs are the shims here, with CRIU behind them: no kernel of today runs the
real ones.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import LIMIT_SECONDS, Running, Site, User, alive, counting, lines

DMTCP = shutil.which("dmtcp_launch")
NEEDS_DMTCP = pytest.mark.skipif(DMTCP is None, reason="no dmtcp_launch on PATH")
KINDS = ("criu", "altix", "blcr", pytest.param("dmtcp", marks=NEEDS_DMTCP))
_PROGRAM = {"criu": "criu", "altix": "chkpnt", "blcr": "cr_checkpoint", "dmtcp": "dmtcp_command"}
_RESTART = {"criu": "criu", "altix": "resume", "blcr": "cr_restart", "dmtcp": "dmtcp_restart"}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, site: Site) -> str:
    configure(site, request.param)
    return str(request.param)


def configure(site: Site, kind: str, programs: Path | None = None, **options: object) -> None:
    """A site whose checkpointer is this one, its programs in a directory of their own or ours."""
    ours = Path(DMTCP).parent if kind == "dmtcp" and DMTCP else site.root / "bin"
    where = str(programs or ours)
    place = {"criu_path": f"{where}/criu"} if kind == "criu" and programs else {}
    if kind != "criu":
        place = {f"{kind}_dir": where}
    site.configure(checkpointer=kind, **place, **options)


def started(site: Site, user: User, last: int = 45) -> Running:
    job = site.start(user, user.script(counting(last), user.directory()), "-c", "enabled")
    job.wait_for_line(5)
    return job


def hook(job: Running, signal: int = 0, name: str = "-") -> subprocess.CompletedProcess[str]:
    argv = job.hook_argv(signal=signal, name=name)
    return subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_SECONDS)


def fake(site: Site, name: str, text: str) -> Path:
    """A directory with a program of that name, for one that misbehaves."""
    where = site.root / "fake"
    where.mkdir(exist_ok=True)
    program = where / name
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    return where


def test_a_dump_lets_the_job_run_on_and_a_restart_ends_with_its_status(
    site: Site, user: User, kind: str
) -> None:
    job = started(site, user)
    assert hook(job).returncode == 0
    assert alive(job.leader())
    assert site.rows(job.job)[-1]["checkpointer"] == kind
    job.wait_for_line(12)
    job.crash()
    again = site.resume(user, job.job, job.directory)
    assert again.wait() == 7, again.err()
    assert again.out() == lines(45)


def test_a_resumed_job_is_dumped_and_resumed_again(site: Site, user: User, kind: str) -> None:
    job = started(site, user)
    assert hook(job).returncode == 0
    job.crash()
    second = site.resume(user, job.job, job.directory)
    site.wait_for_restart(second)
    answer = hook(second)
    assert answer.returncode == 0, answer.stderr
    second.crash()
    third = site.resume(user, second.job, job.directory)
    assert third.wait() == 7, third.err()
    assert third.out() == lines(45)


def test_a_held_job_leaves_nothing_running_and_goes_on_in_place(
    site: Site, user: User, kind: str
) -> None:
    job = started(site, user)
    assert site.call(None, "hold", job.job).returncode == 0
    user.has_none()
    assert site.call(None, "release", job.job).returncode == 0
    assert job.wait() == 7
    assert job.out() == lines(45)


def test_a_missing_program_costs_nothing(site: Site, user: User, kind: str) -> None:
    job = started(site, user)
    assert hook(job).returncode == 0
    configure(site, kind, Path("/nonexistent"))
    answer = hook(job, name="again")
    assert answer.returncode == 40
    assert "/nonexistent" in answer.stderr
    assert alive(job.leader())
    assert [row["whole"] for row in site.rows(job.job)] == [True]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("echo no such device >&2; exit 3", "no such device"),
        ("exit 0", "left no"),
        ("exec sleep 6000", "2 s"),
    ],
    ids=["fails", "writes no image", "hangs"],
)
def test_a_program_that_misbehaves_costs_neither_the_job_nor_an_image(
    site: Site, user: User, kind: str, text: str, said: str
) -> None:
    job = started(site, user)
    assert hook(job).returncode == 0
    version = 'case "$*" in *ersion*) echo "Version: 9.9.9"; exit 0;; esac'
    where = fake(site, _PROGRAM[kind], f"{version}\n{text}")
    limit = 2 if said == "2 s" else LIMIT_SECONDS
    configure(site, kind, where, dump_timeout_seconds=limit)
    answer = hook(job, name="again")
    assert answer.returncode in (43, 44)
    assert said in answer.stderr or "not written" in answer.stderr
    assert alive(job.exec_pid())
    assert [row["whole"] for row in site.rows(job.job)] == [True]
    configure(site, kind)
    job.crash()
    again = site.resume(user, job.job, job.directory)
    assert again.wait() == 7
    assert again.out() == lines(45)


def test_a_restart_that_its_program_refuses_keeps_the_image(
    site: Site, user: User, kind: str
) -> None:
    job = started(site, user)
    assert hook(job).returncode == 0
    job.crash()
    version = 'case "$*" in *ersion*) echo "Version: 9.9.9"; exit 0;; esac'
    where = fake(site, _RESTART[kind], f"{version}\nexit 3")
    fake(site, _PROGRAM[kind], f"{version}\nexit 3")
    configure(site, kind, where, pid_wait_seconds=1)
    failed = site.resume(user, job.job, job.directory)
    assert failed.wait() == 125
    assert "restore of generation 1 failed" in failed.err()
    configure(site, kind)
    again = site.resume(user, job.job, job.directory)
    assert again.wait() == 7
    assert again.out() == lines(45)


def test_a_kind_of_failure_is_that_of_this_restart_not_of_an_earlier_one(
    site: Site, user: User
) -> None:
    configure(site, "blcr")
    job = started(site, user)
    assert hook(job).returncode == 0
    job.crash()
    work = next(site.store.glob("jobs/*/1.*@*/1/work"))
    user.script("temp\n", work, "restore.log")
    version = 'case "$*" in *ersion*) echo "0.8.5"; exit 0;; esac'
    where = fake(site, "cr_restart", "exit 3")
    fake(site, "cr_checkpoint", version)
    configure(site, "blcr", where, pid_wait_seconds=10 * LIMIT_SECONDS)
    failed = site.resume(user, job.job, job.directory)
    assert failed.wait() == 125  # it did not wait for a process number
    assert "ended before the job ran" in failed.err()


def test_an_image_is_restarted_by_the_checkpointer_that_made_it(
    site: Site, user: User, kind: str
) -> None:
    job = started(site, user)
    assert hook(job).returncode == 0
    job.crash()
    other = "blcr" if kind == "altix" else "altix"
    where = {f"{name}_dir": str(site.root / "bin") for name in ("altix", "blcr")}
    if DMTCP:
        where["dmtcp_dir"] = str(Path(DMTCP).parent)
    site.configure(checkpointer=other, **where)
    again = site.resume(user, job.job, job.directory)
    assert again.wait() == 7, again.err()


def test_one_that_is_gone_since_is_named(site: Site, user: User) -> None:
    configure(site, "blcr")
    job = started(site, user)
    assert hook(job).returncode == 0
    job.crash()
    site.configure(blcr_dir="/nonexistent")
    failed = site.resume(user, job.job, job.directory)
    assert failed.wait() == 125
    assert "checkpointer blcr" in failed.err()


def test_auto_takes_the_first_that_the_node_can_run(site: Site, user: User) -> None:
    job = started(site, user)
    order = ["altix", "criu"]
    site.configure(checkpointer="auto", checkpointers=order, altix_dir="/nonexistent")
    assert hook(job).returncode == 0
    site.configure(checkpointer="auto", checkpointers=order, altix_dir=str(site.root / "bin"))
    assert hook(job, name="again").returncode == 0
    assert [row["checkpointer"] for row in site.rows(job.job)] == ["criu", "altix"]


def test_auto_that_finds_none_says_why(site: Site, user: User) -> None:
    job = started(site, user)
    site.configure(checkpointer="auto", criu_path="/nonexistent", blcr_dir="/nonexistent")
    answer = hook(job)
    assert answer.returncode == 40
    assert all(word in answer.stderr for word in ("criu", "blcr", "altix"))
    assert os.path.exists(f"/proc/{job.exec_pid()}")
