# SPDX-License-Identifier: MIT
"""A queue as `torqueckpt configure lsf` writes it, put to work by the sbatchd of the tests."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.lsf.sbatchd import COUNTING, LsfJob, Sbatchd
from tests.support import LIMIT_SECONDS, Site, wait_until
from tests.unit.grid_wrappers import WRAPPER
from torqueckpt.batch.lsf import queues

_CONNECTED = """python3 -uc '
import socket, time
line = socket.create_connection(("127.0.0.1", {port}))
print("line 1")
time.sleep(600)'
"""


@pytest.fixture
def queue(lsf: Sbatchd, site: Site, monkeypatch: pytest.MonkeyPatch) -> Sbatchd:
    """The sbatchd, with the lines of the queue in place of its own."""
    (site.root / "lsf.conf").write_text("LSB_ECHKPNT_METHOD=blcr\n")
    monkeypatch.setenv("LSF_ENVDIR", str(site.root))
    place = site.root / "lsf-ckpt"
    place.mkdir()
    place.chmod(0o1777)
    file = site.root / "lsb.queues"
    file.write_text("Begin Queue\nQUEUE_NAME = guests\nEnd Queue\n")
    words = ("--lsb-queues", str(file), "--serverdir", str(lsf.server_dir))
    made = site.call(
        None, "configure", "lsf", "--queue", "guests", "--apply", "--chkpnt", str(place), *words
    )
    assert made.returncode == 0, made.stderr
    told = site.call(None, "configure", "lsf", "--queue", "guests", "--check", *words).stdout
    assert told == ""
    (section,) = queues.named(file.read_bytes(), "guests", str(file))
    line = {keyword.name: keyword.value for keyword in section.keywords}
    controls = line["JOB_CONTROLS"]
    lsf.starter, lsf.post_exec = line["JOB_STARTER"], line["POST_EXEC"]
    lsf.suspend = controls.partition("SUSPEND[")[2].partition("]")[0]
    lsf.resume = controls.partition("RESUME[")[2].partition("]")[0]
    lsf.chkpnt = Path(line["CHKPNT"])
    return lsf


def _images(site: Site) -> list[object]:
    answer = site.call(None, "list", "--json")
    found: list[object] = json.loads(answer.stdout)
    return found


def _suspended(queue: Sbatchd) -> LsfJob:
    job = queue.bsub(script=COUNTING)
    job.wait_for_line(3)
    queue.bstop(job)
    assert queue.log == [] and job.tree() == []
    return job


def test_a_job_goes_on_after_a_suspend_and_leaves_neither_image_nor_directory(
    queue: Sbatchd, site: Site
) -> None:
    job = _suspended(queue)
    assert len(_images(site)) == 1
    queue.bresume(job)
    queue.complete(job)
    assert queue.log == [] and _images(site) == [] and not job.directory.exists()
    rows = json.loads(site.call(None, "report", "--json", "--by", "queue").stdout)
    (row,) = rows
    assert (row["name"], row["outcome"]) == ("preemptable", "OK")
    assert (row["checkpoints"], row["restarts"]) == (1, 1)


def test_one_that_was_killed_while_it_was_suspended_leaves_nothing(
    queue: Sbatchd, site: Site
) -> None:
    job = _suspended(queue)
    queue.bkill(job)
    queue.wait(job)
    assert _images(site) == [] and not job.directory.exists()


def test_a_job_that_was_never_suspended_leaves_nothing(queue: Sbatchd) -> None:
    job = queue.bsub(script=COUNTING)
    job.wait_for_line(1)
    queue.complete(job)
    assert not job.directory.exists()


def test_a_job_with_a_connection_is_stopped_and_told_as_open_sockets(
    queue: Sbatchd, site: Site
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as ear:
        text = _CONNECTED.format(port=ear.getsockname()[1])
        job = queue.bsub(script=f"#!/bin/sh\nexport LCG_GFAL_VO=biomed\n{text}")
        job.wait_for_line(1)
        queue.bstop(job)
        assert job.states() == {"T"}
        page = site.call(None, "report").stdout.split("\n")
    assert [" ".join(line.split()) for line in page] == [
        "grid VOs checkpoint and restart",
        "biomed NO - open sockets",
        "",
    ]


def test_a_configured_wrapper_sets_no_trap_under_the_starter(
    queue: Sbatchd, site: Site, tmp_path: Path
) -> None:
    wrapper = queue.user.script(WRAPPER, queue.user.directory(), "wrapper.sh")
    wrapper.chmod(0o755)
    assert site.call(None, "configure", "grid-wrapper", "--apply", str(wrapper)).returncode == 0
    job = queue.bsub(str(wrapper))
    wait_until(lambda: "ready" in job.spooled())
    queue.bkill(job)
    job.res.wait(LIMIT_SECONDS)
    assert "fatal" not in job.spooled()
