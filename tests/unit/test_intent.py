# SPDX-License-Identifier: MIT
"""The job's files at a restart: all is looked at first, and what was changed can be undone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit import samples
from torqueckpt.files import intent, job_script
from torqueckpt.manifest import Kept
from torqueckpt.records import Intent
from torqueckpt.safe_files import Directory

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def new_output(tmp_path: Path) -> Path:
    """A resumed job's stdout: its own prologue, then the earlier output as a restart puts it."""
    file = tmp_path / "13.srv.OU"
    file.write_bytes(b"prologue\nearlier output\n")
    return file


@pytest.fixture
def planned(directory: Directory, new_output: Path) -> Intent:
    plan = Intent("a1b2", "13.srv", 3, (samples.stream(new_output, base=9),))
    intent.write(directory, plan)
    return plan


def test_an_intent_comes_back_until_it_is_done(directory: Directory, planned: Intent) -> None:
    assert intent.read(directory) == planned
    intent.done(directory)
    assert intent.read(directory) is None
    intent.settle(directory, None)


def test_a_restart_that_died_before_its_tree_was_started_is_undone(
    directory: Directory, planned: Intent, new_output: Path
) -> None:
    begun = samples.live(attempt=planned.attempt, tree=None)
    for live in (None, samples.live(), samples.live(attempt="another"), begun):
        intent.write(directory, planned)
        new_output.write_bytes(b"prologue\nearlier output\n")
        intent.settle(directory, live)
        assert new_output.read_bytes() == b"prologue\n"
        assert intent.read(directory) is None


def test_a_restart_that_died_after_its_tree_was_started_stays_done(
    directory: Directory, planned: Intent, new_output: Path
) -> None:
    intent.settle(directory, samples.live(attempt=planned.attempt))
    assert new_output.read_bytes() == b"prologue\nearlier output\n"
    assert intent.read(directory) is None


def test_a_file_that_took_the_place_of_the_output_is_not_cut(
    directory: Directory, planned: Intent, new_output: Path
) -> None:
    new_output.rename(new_output.with_name("moved"))
    new_output.write_bytes(b"another job's output, long enough\n")
    intent.settle(directory, None)
    assert new_output.read_bytes() == b"another job's output, long enough\n"
    assert new_output.with_name("moved").read_bytes() == b"prologue\nearlier output\n"


def test_output_that_is_gone_or_a_link_or_a_fifo_is_nothing_to_cut(
    directory: Directory, planned: Intent, new_output: Path
) -> None:
    aside = new_output.with_name("aside")
    new_output.rename(aside)
    for put in (lambda: None, lambda: new_output.symlink_to(aside), lambda: os.mkfifo(new_output)):
        put()
        intent.write(directory, planned)
        intent.settle(directory, None)
        assert intent.read(directory) is None
        assert aside.read_bytes() == b"prologue\nearlier output\n"
        new_output.unlink(missing_ok=True)


def test_output_shorter_than_it_was_is_not_filled_up(
    directory: Directory, planned: Intent, new_output: Path
) -> None:
    new_output.write_bytes(b"pro")
    intent.settle(directory, None)
    assert new_output.read_bytes() == b"pro"


def _spooled(tmp_path: Path, name: str = "12.srv.SC") -> Path:
    where = tmp_path / "mom_priv" / "jobs"
    where.mkdir(parents=True, exist_ok=True)
    return where / name


def test_the_spooled_script_is_copied_and_nothing_else(
    directory: Directory, tmp_path: Path, started: Start
) -> None:
    script, other = _spooled(tmp_path), tmp_path / "mom_priv" / "data"
    script.write_bytes(b"#!/bin/sh\nsleep 60\n")
    other.write_bytes(b"the user's")
    with open(script) as as_stdin, open(other) as as_other:
        job = started("/bin/sleep", "60", stdin=as_stdin, stdout=as_other)
    script.unlink()  # as the batch system does when the job ends
    links = [(job.pid, 0, str(script)), (job.pid, 1, str(other)), (job.pid, 2, "pipe:[1]")]
    before = set(directory.names())
    assert job_script.keep(directory, links) == {str(script): "12.srv.SC"}
    assert set(directory.names()) - before == {"12.srv.SC"}
    assert directory.read("12.srv.SC") == b"#!/bin/sh\nsleep 60\n"


def test_a_restarted_jobs_script_is_our_copy_already(directory: Directory) -> None:
    path = str(directory.path / "12.srv.SC")
    assert job_script.keep(directory, [(1, 255, path)]) == {path: "12.srv.SC"}
    assert not directory.has("12.srv.SC")


def test_a_fifo_under_the_name_of_a_script_hangs_nobody(
    directory: Directory, tmp_path: Path, started: Start
) -> None:
    script = _spooled(tmp_path)
    os.mkfifo(script)
    fd = os.open(script, os.O_RDWR)
    job = started("/bin/sleep", "60", stdin=fd)
    os.close(fd)
    assert job_script.keep(directory, [(job.pid, 0, str(script))]) == {}


def test_copies_are_handed_over_at_the_offset_of_the_freeze(directory: Directory) -> None:
    directory.write_whole("12.srv.SC", b"#!/bin/sh\nsleep 60\necho next\n")
    frozen = samples.open_file("/spool/mom_priv/jobs/12.srv.SC", size=29, offset=19)
    found = job_script.as_of_freeze({frozen.path: "12.srv.SC"}, [frozen, samples.open_file("/x")])
    assert found == (Kept(frozen.path, "12.srv.SC", 19),)
    ((fd, path),) = job_script.open_copies(directory, found)
    assert path == frozen.path
    assert os.read(fd, 100) == b"echo next\n"
    os.close(fd)
