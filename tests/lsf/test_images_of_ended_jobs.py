# SPDX-License-Identifier: MIT
"""What is left in the store of LSF's jobs, and what `torqueckpt prune` takes away of it."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tests.lsf.sbatchd import COUNTING, Sbatchd
from tests.lsf.test_suspend_and_resume import CONNECTED, COUNT
from tests.support import Site

_HEAD = "JOBID   USER    STAT  QUEUE      FROM_HOST   EXEC_HOST   JOB_NAME   SUBMIT_TIME"
_ROW = "101     ann     {}  guests     node1       node1       counting   Dec  1 03:00"


@pytest.fixture
def kept(lsf: Sbatchd) -> Sbatchd:
    """Of a site whose POST_EXEC leaves the images."""
    lsf.post_exec = '/bin/rm -Rf -- "$LSB_CHKPNT_DIR"'
    return lsf


def _lineages(lsf: Sbatchd) -> list[Path]:
    return sorted((lsf.site.store / "jobs" / lsf.user.name).glob("*@*"))


def _bjobs(lsf: Sbatchd, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = f"echo '{_HEAD}'\necho '{_ROW.format(state)}'\n"
    text = known if state else 'echo "Job <101> is not found" >&2\nexit 255\n'
    program = lsf.site.root / "bjobs"
    program.write_text(f"#!/bin/sh\n{text}")
    program.chmod(0o755)
    monkeypatch.setenv("LSF_BINDIR", str(program.parent))


def _pruned(site: Site, lsf: Sbatchd) -> list[dict[str, Any]]:
    """What goes once a job has been known to have ended for eight days."""
    for again in range(2):
        answer = site.call(None, "prune", "--json")
        assert answer.returncode == 0, answer.stderr
        for over in (each / "over" for each in _lineages(lsf) if not again):
            if over.exists():
                over.write_text(str(int(time.time()) - 8 * 86400))
    found: list[dict[str, Any]] = json.loads(answer.stdout)
    return found


@pytest.mark.parametrize("state", ["DONE", "EXIT", ""])
def test_images_of_a_job_that_has_ended_are_pruned(
    kept: Sbatchd, site: Site, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    job = kept.counting()
    kept.bstop(job)
    kept.bresume(job)
    kept.complete(job)
    assert len(site.rows()) == 1
    _bjobs(kept, state, monkeypatch)
    assert [each["all"] for each in _pruned(site, kept)] == [True]
    assert _lineages(kept) == []


@pytest.mark.parametrize("state", ["EXIT", "", "PEND"])
def test_images_of_a_job_that_died_with_its_host_are_not(
    kept: Sbatchd, site: Site, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    job = kept.counting()
    kept.bstop(job)
    kept.bresume(job)
    kept.host_dies(job)
    _bjobs(kept, state, monkeypatch)
    assert _pruned(site, kept) == [] and len(site.rows("101")) == 1


def test_a_refused_suspension_leaves_no_directory(lsf: Sbatchd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as ear:
        job = lsf.bsub(script=CONNECTED.format(port=ear.getsockname()[1], count=COUNT))
        job.wait_for_line(3)
        lsf.bstop(job)
        assert job.states() == {"T"} and lsf.noted("checkpoint-failed")
        assert _lineages(lsf) == []
        lsf.bresume(job)
        lsf.complete(job)


def test_what_a_failed_dump_leaves_is_pruned_when_the_job_has_ended(
    lsf: Sbatchd, site: Site
) -> None:
    job = lsf.bsub(script=COUNTING)
    job.wait_for_line(3)
    program = site.root / "failing-dump"
    criu = site.root / "lib/torqueckpt/criu/criu"
    program.write_text(f'#!/bin/sh\n[ "$1" != dump ] || exit 52\nexec {criu} "$@"\n')
    program.chmod(0o755)
    site.configure(criu_path=str(program))
    lsf.bstop(job)
    assert job.states() == {"T"} and len(_lineages(lsf)) == 1
    assert _pruned(site, lsf) == [] and len(_lineages(lsf)) == 1
    lsf.bresume(job)
    lsf.complete(job)
    assert [each["all"] for each in _pruned(site, lsf)] == [True]
    assert _lineages(lsf) == []
