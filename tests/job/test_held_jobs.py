# SPDX-License-Identifier: MIT
"""A held job waits until it really runs again: a release tells how it went, and one that failed
leaves the job held, with its image and with what was delivered of its output."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.job.slow_criu import slow_criu
from tests.support import LIMIT_SECONDS, Running, Site, User, counting, kill, lines, wait_until


@pytest.fixture
def held(site: Site, user: User) -> Running:
    running = site.start(user, user.script(counting(70), user.directory()), "-c", "enabled")
    running.wait_for_line(3)
    assert site.call(user, "hold", running.job).returncode == 0
    return running


def _last_noted(running: Running) -> dict[str, Any]:
    text = (running.site.lineage(running.job).parent / "journal").read_text()
    found: dict[str, Any] = json.loads(text.splitlines()[-1])
    return found


def test_a_release_that_fails_says_why_everywhere_and_the_next_one_works(
    site: Site, user: User, held: Running
) -> None:
    delivered = held.out()
    inventory = site.lineage(held.job) / "1" / "image" / "inventory.img"
    whole = inventory.read_bytes()
    inventory.write_bytes(whole[:-1])
    for _ in range(2):
        failed = site.call(user, "release", held.job)
        assert failed.returncode == 83
        assert "stays held: " in failed.stderr and "inventory.img has another size" in failed.stderr
        noted = _last_noted(held)
        assert noted["event"] == "restart-failed" and "inventory.img" in noted["reason"]
    assert held.err().count("inventory.img has another size") == 2
    assert "stays held" in held.stderr.read_text()
    assert held.out() == delivered
    assert held.process.poll() is None
    assert site.call(user, "held", held.job).returncode == 0
    assert "is held" in site.call(user, "checkpoint", held.job).stderr
    inventory.write_bytes(whole)
    assert site.call(user, "release", held.job).returncode == 0
    assert held.wait() == 7
    assert held.out() == lines(70)
    assert held.err() == ""


def test_a_release_is_answered_when_the_job_runs_again(
    site: Site, user: User, held: Running
) -> None:
    with slow_criu(site, "restore") as go_on:
        asked = subprocess.Popen(user.argv(site.program, "release", held.job))
        wait_until(lambda: Path(f"{go_on}.waits").exists())
        saved = subprocess.Popen(user.argv(site.program, "checkpoint", held.job))
        assert asked.poll() is None
        go_on.touch()
        assert asked.wait(LIMIT_SECONDS) == 0
        assert json.loads((site.lineage(held.job) / "live.json").read_text())["tree"] is not None
        assert saved.wait(LIMIT_SECONDS) == 0  # it waited for the restart
    assert held.wait() == 7
    assert held.out() == lines(70)


def test_a_restart_that_is_killed_leaves_the_job_held_with_a_line_in_the_journal(
    site: Site, user: User, held: Running
) -> None:
    with slow_criu(site, "restore") as go_on:
        asked = subprocess.Popen(
            user.argv(site.program, "release", held.job), stderr=subprocess.PIPE, text=True
        )
        wait_until(lambda: Path(f"{go_on}.waits").exists())
        kill(held.leader())
        told = asked.communicate(timeout=LIMIT_SECONDS)[1]
        assert (asked.returncode, "mom-restart ended by signal 9" in told) == (83, True)
        noted = _last_noted(held)
        assert (noted["event"], noted["code"]) == ("restart-failed", 125)
        assert "ended by signal 9" in held.err()
        go_on.touch()
    assert site.call(user, "release", held.job).returncode == 0
    assert held.wait() == 7
    assert held.out() == lines(70)


def test_a_job_that_is_deleted_during_its_release_keeps_image_and_output(
    site: Site, user: User, held: Running
) -> None:
    delivered = held.out()
    with slow_criu(site, "restore") as go_on:
        asked = subprocess.Popen(
            user.argv(site.program, "release", held.job), stderr=subprocess.PIPE, text=True
        )
        wait_until(lambda: Path(f"{go_on}.waits").exists())
        held.process.terminate()
        told = asked.communicate(timeout=LIMIT_SECONDS)[1]
        to_go_on = f"to go on: torqueckpt resume-job {held.job}"
        assert asked.returncode == 83 and f"ended meanwhile; {to_go_on}" in told
        assert held.wait() == 143
        assert held.out() == delivered
        assert to_go_on in held.err() and to_go_on in held.stderr.read_text()
        go_on.touch()
    resumed = site.resume(user, held.job, held.directory)
    assert resumed.wait() == 7
    assert resumed.out() == lines(70)


def test_a_job_that_is_deleted_during_its_hold_says_so_to_who_asked_for_it(
    site: Site, user: User
) -> None:
    running = site.start(user, user.script(counting(70), user.directory()), "-c", "enabled")
    running.wait_for_line(3)
    with slow_criu(site, "dump") as go_on:
        asked = subprocess.Popen(
            user.argv(site.program, "hold", running.job), stderr=subprocess.PIPE, text=True
        )
        wait_until(lambda: Path(f"{go_on}.waits").exists())
        running.process.terminate()
        go_on.touch()
        told = asked.communicate(timeout=LIMIT_SECONDS)[1]
        assert running.wait() > 128
    assert asked.returncode != 0, told
    assert bool(site.rows()) == ("to go on" in running.err())


def test_who_does_not_wait_for_a_hold_is_told_that_it_goes_on(site: Site, user: User) -> None:
    running = site.start(user, user.script(counting(70), user.directory()), "-c", "enabled")
    running.wait_for_line(3)
    with slow_criu(site, "dump") as go_on:
        asked = subprocess.Popen(
            user.argv(site.program, "hold", running.job), stderr=subprocess.PIPE, text=True
        )
        wait_until(lambda: Path(f"{go_on}.waits").exists())
        asked.send_signal(signal.SIGINT)
        told = asked.communicate(timeout=LIMIT_SECONDS)[1]
        assert asked.returncode == 130
        assert f"the hold of {running.job} goes on" in told
        go_on.touch()
    words = re.search("`(.*)`", told)
    assert words is not None
    shell = words[1].replace("torqueckpt", str(site.program))
    wait_until(lambda: subprocess.run(user.argv("/bin/sh", "-c", shell)).returncode == 0)
    assert site.call(user, "release", running.job).returncode == 0
    assert running.wait() == 7


@pytest.mark.parametrize("number", ["TERM", "INT", "HUP"])
def test_how_to_go_on_stands_in_the_jobs_stderr_where_no_terminal_is_left(
    site: Site, user: User, number: str
) -> None:
    running = site.start(user, user.script(counting(70), user.directory()), "-c", "enabled")
    running.wait_for_line(2)
    assert subprocess.run(running.hook_argv()).returncode == 0  # by nobody that this MOM knows
    subprocess.run(["/bin/kill", f"-{number}", str(running.process.pid)], check=True)
    assert running.wait() == 143
    told = f"deleted; to go on: torqueckpt resume-job {running.job}"
    assert f"torqueckpt: {told}\n" in running.err()
    assert told in running.stderr.read_text()


def test_at_its_walltime_a_job_says_how_to_go_on(site: Site, user: User) -> None:
    script = user.script(counting(70), user.directory())
    running = site.start(user, script, "-l", "walltime=12", "-c", "enabled")
    running.wait_for_line(2)
    assert site.call(user, "checkpoint", running.job).returncode == 0
    assert running.wait_as_it_is() == 143
    told = f"walltime of 12 s is over; to go on: torqueckpt resume-job {running.job}"
    assert f"torqueckpt: {told}\n" in running.err()
    assert told in running.stderr.read_text()


@pytest.mark.parametrize("where", ["directory", "permission", "pipe", "disk"])
def test_output_that_cannot_be_delivered_is_kept_and_said_where(
    site: Site, user: User, where: str
) -> None:
    directory = user.directory()
    target = {
        "directory": ("-o", str(directory / "none" / "out")),
        "permission": ("-o", "/etc/torqueckpt-test-out"),
        "pipe": ("-o", str(directory / "pipe")),
        "disk": ("-o", "/dev/full"),
    }[where]
    os.mkfifo(directory / "pipe", 0o666)
    os.chown(directory / "pipe", user.uid, user.gid)
    running = site.start(user, user.script("#!/bin/sh\necho kept\nexit 3\n", directory), *target)
    assert running.wait() == 3
    left = site.spool / "spool" / f"{running.job}.OU"
    told = running.stderr.read_text()
    assert f"output not delivered: {target[1]}" in told
    assert f"it is left as {left}\n" in told
    assert subprocess.run(user.argv("/bin/cat", left), capture_output=True).stdout == b"kept\n"


def test_a_name_with_a_slash_names_no_directory_of_the_output(site: Site, user: User) -> None:
    directory = user.directory()
    running = site.start(user, user.script("#!/bin/sh\necho kept\n", directory), "-N", "a/b")
    assert running.wait() == 0
    assert (directory / f"b.o{running.job.partition('.')[0]}").read_text() == "kept\n"


def test_output_that_could_not_be_delivered_at_a_hold_outlives_a_release_that_fails(
    site: Site, user: User
) -> None:
    directory = user.directory()
    out = directory / "later" / "out"
    script = user.script(counting(70), directory)
    running = site.start(user, script, "-c", "enabled", "-o", str(out))
    running.wait_for_line(3)
    assert site.call(user, "hold", running.job).returncode == 0
    left = running.spooled()
    assert left.startswith(lines(3))
    inventory = site.lineage(running.job) / "1" / "image" / "inventory.img"
    whole = inventory.read_bytes()
    inventory.write_bytes(whole[:-1])
    assert site.call(user, "release", running.job).returncode == 83
    assert running.spooled() == left
    inventory.write_bytes(whole)
    assert site.call(user, "release", running.job).returncode == 0
    out.parent.mkdir()
    os.chown(out.parent, user.uid, user.gid)
    assert running.wait() == 7
    assert out.read_text() == lines(70)
    assert not [each.name for each in (site.spool / "spool").iterdir()]


def test_a_last_checkpoint_that_a_server_wants_says_how_to_go_on_before_mom_delivers(
    site: Site, user: User
) -> None:
    running = site.start(user, user.script(counting(70), user.directory()), "-c", "enabled")
    running.wait_for_line(20)  # as long as its walltime, and longer
    os.kill(running.process.pid, signal.SIGSTOP)  # MOMs of batch servers look and copy at leisure
    words = (running.job, str(running.leader()), user.name, "1")
    done = site.call(None, "last-checkpoint", *words)
    os.kill(running.process.pid, signal.SIGCONT)
    assert done.returncode == 0, done.stderr
    running.wait_as_it_is()
    assert f"before its walltime; to go on: torqueckpt resume-job {running.job}\n" in running.err()


def test_a_job_that_a_killed_hold_has_left_running_is_held_no_more_after_its_next_checkpoint(
    site: Site, user: User
) -> None:
    running = site.start(user, user.script(counting(70), user.directory()), "-c", "enabled")
    running.wait_for_line(3)
    assert site.call(user, "checkpoint", running.job).returncode == 0
    mark = site.lineage(running.job) / "held"
    mark.write_text(f"{running.job}\n")
    os.chown(mark, user.uid, user.gid)
    assert site.call(user, "held", running.job).returncode == 0
    assert subprocess.run(running.hook_argv(name="two")).returncode == 0
    assert site.call(user, "held", running.job).returncode != 0
    assert running.wait() == 7
