# SPDX-License-Identifier: MIT
"""`torqueckpt run -l walltime=`: a job is ended at its limit, or with an image just before it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support import Site, User, count_script, counting, lines, wait_until

CHAINED = ("-v", "TORQUECKPT_CHAIN=1")


def test_a_job_is_ended_at_its_walltime(site: Site, user: User) -> None:
    script = user.script(count_script(100_000), user.directory())
    began = time.monotonic()
    running = site.start(user, script, "-l", "walltime=2", "-c", "enabled")
    assert running.wait() == 143
    assert time.monotonic() - began >= 2
    assert "walltime of 2 s is over" in running.stderr.read_text()
    assert site.rows() == []


def test_a_job_longer_than_its_walltime_is_done_in_several_with_nothing_repeated(
    site: Site, user: User
) -> None:
    site.configure(chain_margin_seconds=60)  # a busy machine may need much of that for the image
    directory = user.directory()
    trace = directory / "trace"
    text = counting(80).replace("echo line $i", f"echo line $i; echo $i >>{trace}")
    running = site.start(user, user.script(text, directory), "-l", "walltime=0:01:02", *CHAINED)
    first, links = running.job, 1
    while running.wait_as_it_is() != 7:
        told = running.stderr.read_text()
        assert running.process.returncode == 137, told
        assert f"to go on: torqueckpt resume-job {running.job}" in told
        running, links = site.resume(user, running.job, directory), links + 1
        if links == 3:
            running.may_end.touch()
    assert links > 2
    assert running.out() == lines(80)
    repeated = len(trace.read_text().split()) - 80
    print(f"{links} links, {repeated} lines repeated")
    assert repeated == 0
    assert {row["lineage"].rpartition("@")[0] for row in site.rows()} == {first}


@pytest.mark.parametrize(
    ("spec", "walltime", "margin", "status"), [("u", 62, 60, 137), ("n", 5, 3, 143)]
)
def test_only_a_job_that_must_never_be_checkpointed_is_not(
    site: Site, user: User, spec: str, walltime: int, margin: int, status: int
) -> None:
    site.configure(chain_margin_seconds=margin)
    script = user.script(count_script(100_000), user.directory())
    running = site.start(user, script, "-l", f"walltime={walltime}", "-c", spec, *CHAINED)
    assert running.wait() == status
    assert len(site.rows()) == (spec == "u")


def test_when_the_last_checkpoint_fails_the_job_has_all_of_its_walltime(
    site: Site, user: User
) -> None:
    """It is tried again as long as there is time, and the reason is told."""
    site.configure(chain_margin_seconds=8, store=str(site.root / "nowhere"))
    script = user.script(count_script(100_000), user.directory())
    began = time.monotonic()
    running = site.start(user, script, "-l", "walltime=10", *CHAINED)
    wait_until(lambda: running.stderr.read_text().count("is missing") > 1)
    reached = running.spooled().count("\n")
    assert running.wait() == 143
    assert time.monotonic() - began >= 10
    assert "walltime of 10 s is over" in running.stderr.read_text().splitlines()[-1]
    assert int(running.out().split()[-1]) > reached


def test_a_walltime_that_is_no_time_is_refused(site: Site, user: User) -> None:
    script: Path = user.script(count_script(2), user.directory())
    words = ("run", "--user", user.name, "-l", "walltime=soon", str(script))
    done = site.call(None, *words)
    assert done.returncode == 125
    assert "-l walltime=soon" in done.stderr
