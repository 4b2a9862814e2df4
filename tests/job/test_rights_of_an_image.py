# SPDX-License-Identifier: MIT
"""An image that its owner has edited gives his job no right that he has not."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support import Running, Site, User, counting, lines, wait_until
from tests.unit.core_images import CREDS, FILES, LIMITS, TASK, THREAD, Step, edited_file
from torqueckpt.checkpointers.criu import rights as criu_rights

SETPCAP = 1 << 8
INHERITABLE, PERMITTED, EFFECTIVE = 9, 10, 11


@pytest.fixture(params=["off", "on"], ids=["plain", "compressed"])
def crashed(request: pytest.FixtureRequest, site: Site, user: User) -> Running:
    site.configure(compress=request.param)
    running = site.start(user, user.script(counting(), user.directory()), "-c", "c=1s")
    site.wait_for_images(running.job)
    running.crash()
    return running


def through_the_door(site: Site, user: User, crashed: Running) -> Running:
    """As an owner would who leaves out the checks that are his own program's."""
    python = site.root / "lib/torqueckpt/venv/bin/python"
    directory = user.directory()
    (directory / "mine.py").write_text(
        "import sys\n"
        "from torqueckpt.store.generation import Generation\n"
        "Generation.verify = lambda *_: None\n"
        "from torqueckpt.cli.main import main\n"
        f"sys.exit(main(['resume', {crashed.job!r}]))\n"
    )
    script = user.script(f"#!/bin/sh\nexec {python} -I {directory}/mine.py\n", directory)
    running = site.start(user, script)
    running.may_end = crashed.may_end
    return running


# Where an edit goes in a core image, what it writes there, and what is said of it.
EDITS: dict[str, tuple[Sequence[Step], dict[int, int], str]] = {
    "capabilities": (
        (THREAD, CREDS),
        dict.fromkeys((INHERITABLE, PERMITTED, EFFECTIVE), SETPCAP),
        "asks for capabilities (effective, inheritable, permitted)",
    ),
    "securebits": ((THREAD, CREDS), {13: 0x4}, "asks for securebits 0x4"),
    "group": ((THREAD, CREDS), {14: 0}, "asks for groups 0, its job had {gid}"),
    "privileges": ((THREAD, CREDS), {18: 0}, "asks for no_new_privs 0, its job had 1"),
    "nice": ((THREAD,), {3: 0}, "asks for nice 0, its job had {nice}"),
    "class": ((THREAD,), {4: 0}, "asks for scheduling policy 0, its job had 5"),
    "real time": ((THREAD,), {4: 1, 5: 9}, "asks for real-time priority 9, its job had 0"),
    "limit": (
        (TASK, LIMITS, (1, FILES)),
        {1: 1000, 2: 1001},
        "asks for a hard limit NOFILE of 1001, its job had 1000",
    ),
    "killed last": ((TASK,), {14: 299}, "asks for oom_score_adj 299, its job had 300"),
}
LIMITED = """#!/bin/sh
ulimit -n 1000
echo 300 >/proc/self/oom_score_adj
exec setpriv --no-new-privs nice -n 6 chrt --idle 0 /bin/sh "$PBS_O_WORKDIR/limited.sh"
"""


def test_an_image_that_asks_for_more_than_its_job_had_is_refused(site: Site, user: User) -> None:
    directory, nice = user.directory(), min(os.getpriority(os.PRIO_PROCESS, 0) + 6, 19)
    user.script(counting(), directory, "limited.sh")
    running = site.start(user, user.script(LIMITED, directory), "-c", "c=1s")
    running.wait_for_line(1)
    site.wait_for_newer(running.job, site.wait_for_images(running.job))
    running.crash()
    newest = site.lineage(running.job) / str(site.generations(running.job)[-1])
    honest = {core: core.read_bytes() for core in (newest / "image").glob("core-*.img")}
    for path, fields, told in EDITS.values():
        for core, data in honest.items():
            core.write_bytes(edited_file(data, path, fields))
        forged = through_the_door(site, user, running)
        assert forged.wait_as_it_is() == 125
        assert told.format(gid=user.gid, nice=nice) in forged.err()
    for core, data in honest.items():
        core.write_bytes(data)
    resumed = site.resume(user, running.job, directory)
    assert resumed.wait() == 7, resumed.err()
    assert resumed.out() == lines(30)


def test_capabilities_written_into_an_image_are_refused(
    site: Site, user: User, crashed: Running
) -> None:
    newest = site.lineage(crashed.job) / str(site.rows(crashed.job)[-1]["generation"])
    path, fields, told = EDITS["capabilities"]
    for core in (newest / "image").glob("core-*.img"):
        before = core.read_bytes()
        criu_rights.checked(before, None)
        core.write_bytes(edited_file(before, path, fields))
    running = through_the_door(site, user, crashed)
    assert running.wait() == 125
    assert told in running.err()


def _with_rights(user: User) -> list[int]:
    every = ((pid, Path(f"/proc/{pid}/status").read_text()) for pid in user.processes())
    return [pid for pid, status in every if "CapPrm:\t0000000000000000" not in status]


def test_an_image_that_nobody_has_edited_is_restored_without_rights_and_leaves_nothing(
    site: Site, user: User, crashed: Running
) -> None:
    running = site.resume(user, crashed.job, user.directory())
    wait_until(lambda: "line 25\n" in running.spooled())
    reached = running.spooled().count("\n")
    # the job's own; the last of its thirty comes at its end
    wait_until(lambda: running.spooled().count("\n") > min(reached + 1, 28))
    wait_until(lambda: not _with_rights(user))  # CRIU has some, and may still be at it
    assert running.wait() == 7
    assert user.views() == []
