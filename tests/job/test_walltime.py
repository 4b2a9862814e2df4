# SPDX-License-Identifier: MIT
"""`torqueckpt run -l walltime=`: a job is ended at its limit, or with an image just before it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support import Running, Site, User, count_script, lines

CHAINED = ("-v", "TORQUECKPT_CHAIN=1")


def seconds_of(running: Running) -> float:
    began = time.monotonic()
    running.wait()
    return time.monotonic() - began


def test_a_job_is_ended_at_its_walltime(site: Site, user: User) -> None:
    running = site.start(
        user, user.script(count_script(200), user.directory()), "-l", "walltime=2", "-c", "enabled"
    )
    assert 1.5 < seconds_of(running) < 6
    assert running.process.returncode == 143
    assert "walltime of 2 s is over" in running.stderr.read_text()
    assert site.rows() == []


def test_a_job_longer_than_its_walltime_is_done_in_several_with_nothing_repeated(
    site: Site, user: User
) -> None:
    site.configure(chain_margin_seconds=4)
    directory = user.directory()
    trace = directory / "trace"
    text = count_script(150).replace("echo line $i", f"echo line $i; echo $i >>{trace}")
    running = site.start(user, user.script(text, directory), "-l", "walltime=0:10", *CHAINED)
    first, links, left = running.job, 1, []
    while True:
        left.append(10 - seconds_of(running))
        status = running.process.returncode
        if status == 7:
            break
        assert (status, links < 6) == (137, True), running.stderr.read_text()
        told = running.stderr.read_text()
        assert f"to go on: torqueckpt resume-job {running.job}" in told
        running, links = site.resume(user, running.job, directory), links + 1
    assert links > 2
    assert all(each > 0 for each in left), left
    assert running.out() == lines(150)
    repeated = len(trace.read_text().split()) - 150
    print(f"{links} links, {repeated} lines repeated, {[round(s, 1) for s in left]} s left")
    assert repeated == 0
    assert {row["lineage"].rpartition("@")[0] for row in site.rows()} == {first}


@pytest.mark.parametrize("spec", ["u", "n"])
def test_only_a_job_that_must_never_be_checkpointed_is_not(
    site: Site, user: User, spec: str
) -> None:
    site.configure(chain_margin_seconds=5)
    script = user.script(count_script(400), user.directory())
    running = site.start(user, script, "-l", "walltime=10", "-c", spec, *CHAINED)
    assert running.wait() == (143 if spec == "n" else 137)
    assert len(site.rows()) == (spec == "u")


def test_when_the_last_checkpoint_fails_the_job_has_all_of_its_walltime(
    site: Site, user: User
) -> None:
    """It is tried again as long as there is time, and the reason is told."""
    site.configure(chain_margin_seconds=8, store=str(site.root / "nowhere"))
    script = user.script(count_script(400), user.directory())
    running = site.start(user, script, "-l", "walltime=16", *CHAINED)
    assert seconds_of(running) > 15
    assert running.process.returncode == 143
    told = running.stderr.read_text().splitlines()
    assert sum("is missing" in line for line in told) > 1
    assert any("walltime of 16 s is over" in line for line in told)
    assert int(running.out().split()[-1]) > 30


def test_a_walltime_that_is_no_time_is_refused(site: Site, user: User) -> None:
    script: Path = user.script(count_script(2), user.directory())
    words = ("run", "--user", user.name, "-l", "walltime=soon", str(script))
    done = site.call(None, *words)
    assert done.returncode == 125
    assert "-l walltime=soon" in done.stderr
