# SPDX-License-Identifier: MIT
"""A clock that was set back since the last image, and a node that was booted."""

from __future__ import annotations

import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from tests.faults import strace
from tests.faults.aftermath import hook, images_whole, nothing_left, runs_untouched
from tests.faults.conftest import Faulty
from tests.faults.test_killed_checkpoint import sessions
from tests.job.test_periodic import as_told, rounds
from tests.support import Running, Site, User
from torqueckpt import manifest

DAY = 24 * 3600


def set_back(site: Site, running: Running, seconds: int) -> None:
    """All that was written so far is from so far ahead: what a clock that was set back leaves."""
    key = bytes.fromhex((site.root / "etc" / "signature.key").read_text().strip())
    lineage = site.lineage(running.job)
    for file in lineage.glob("*/manifest.json"):
        made = manifest.decode(file.read_bytes())
        file.write_bytes(manifest.encode(made._replace(created=made.created + seconds), key))
    live = json.loads((lineage / "live.json").read_text())
    live["written"] += seconds
    (lineage / "live.json").write_text(json.dumps(live))
    ahead = time.time() + seconds
    for path in (lineage, *lineage.rglob("*")):
        if not path.is_symlink():
            os.utime(path, (ahead, ahead))


def test_a_clock_that_was_set_back_stops_no_checkpoint_and_no_resume(
    site: Site, user: User, jobs: Faulty, counted: Callable[..., None]
) -> None:
    running = jobs.start()
    tree = running.exec_pid()
    for times, seconds in enumerate((DAY, 60, 400 * DAY)[: strace.most(1, 3)], 1):
        assert hook(running, "-", depth="9").returncode == 0
        time.sleep(2.1)  # repeat_window_seconds: that long a call without a name gets the same one
        set_back(site, running, seconds)
        before = len(site.rows(running.job))
        for name in ("-", f"m{times}"):
            assert hook(running, name, depth="9").returncode == 0
        assert len(site.rows(running.job)) == before + 2
        runs_untouched(running, tree)
        images_whole(site, running)
        assert site.call(None, "prune").returncode == 0
    set_back(site, running, DAY)
    newest = site.rows(running.job)[-1]["generation"]
    running.crash()
    resumed = jobs.resume(running)
    assert hook(resumed, "resumed", depth="9").returncode == 0
    assert site.rows(running.job)[-1]["generation"] == newest + 1
    jobs.ends_well(resumed)
    counted("the clock was set back since the last image: a minute, a day, a year", 3)


def test_a_clock_that_was_set_back_puts_no_periodic_checkpoint_off(
    site: Site, jobs: Faulty, counted: Callable[..., None]
) -> None:
    site.configure(periodic_grace_seconds=0)
    running = jobs.start()
    told = {running.job: as_told(running)}
    assert hook(running, "first").returncode == 0
    assert rounds(site, told, later=(0,))["taken"] == [[]]
    set_back(site, running, DAY)
    assert rounds(site, told)["taken"] == [[running.job]]
    assert rounds(site, told, later=(0,))["taken"] == [[]]
    images_whole(site, running, at_least=2)
    jobs.ends_well(running)
    counted("the clock was set back between two periodic checkpoints", 1)


def booted(site: Site) -> None:
    """From now on root's programs find another boot id."""
    identity = site.root / f"boot-{uuid.uuid4()}"
    identity.write_text(f"{uuid.uuid4()}\n")
    real = site.program.with_name("torqueckpt-itself")
    if not real.exists():
        site.program.rename(real)
    site.program.write_text(
        f'#!/bin/sh\n[ "$(id -u)" = 0 ] || exec {real} "$@"\n'
        "exec /usr/bin/unshare --mount /bin/sh -c '"
        f'mount --bind {identity} /proc/sys/kernel/random/boot_id; exec {real} "$@"\' sh "$@"\n'
    )
    site.program.chmod(0o755)


def test_a_job_goes_on_after_each_boot_whoever_has_its_process_numbers(
    site: Site, user: User, jobs: Faulty, counted: Callable[..., None]
) -> None:
    running = jobs.start()
    assert hook(running, "first").returncode == 0
    for boots in range(1, strace.most(1, 3) + 1):
        running.crash()
        record = site.lineage(running.job) / "live.json"
        live = json.loads(record.read_text())
        # after the boot its leader's number is another process's, which lives
        mine = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        live["keeper"].update(pid=os.getpid(), start_ticks=int(mine[19]))
        record.write_text(json.dumps(live))
        booted(site)
        running = jobs.resume(running)
        argv = running.hook_argv(name=f"n{boots}")
        answer = subprocess.run(in_place_of(running, argv), capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr
        images_whole(site, running)
        nothing_left(site, user, sessions(site))
    jobs.ends_well(running)
    counted("the node was booted (another boot id), its process numbers taken by others", 3)


def in_place_of(running: Running, argv: list[str]) -> list[str]:
    """The hook sees the boot that its MOM sees."""
    return ["/usr/bin/nsenter", "--mount", "--root", f"--target={running.process.pid}", *argv]
