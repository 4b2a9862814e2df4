# SPDX-License-Identifier: MIT
"""Ways in by sudo and rootdoor, for programs that are the user's: resume, the shims, LSF's."""

from __future__ import annotations

import subprocess

import pytest

from tests.evil.evil_criu import EvilCriu
from tests.job.test_shims import Loose
from tests.lsf.sbatchd import Sbatchd
from tests.support import Running, Site, User, counting, lines, wait_until


@pytest.fixture
def crashed(site: Site, user: User, evil: EvilCriu) -> Running:
    running = site.start(user, user.script(counting(), user.directory()), "-c", "enabled")
    running.wait_for_line(1)
    assert subprocess.run(running.hook_argv()).returncode == 0
    running.crash()
    return running


@pytest.mark.parametrize("then", ["go", "fail"])
def test_resume(site: Site, user: User, evil: EvilCriu, crashed: Running, then: str) -> None:
    evil.tell(then, stay="yes")
    evil.in_place(pid_wait_seconds=0)
    resumed = site.resume(user, crashed.job, user.directory())
    if then == "go":
        site.wait_for_restart(resumed)
        evil.gained_nothing("torqueckpt resume, go", "restore")
        evil.unharmed(resumed)
        return
    assert resumed.wait_as_it_is() == 125
    evil.gained_nothing("torqueckpt resume, fail", "restore")
    evil.out_of_place()
    again = site.resume(user, crashed.job, user.directory())
    assert again.wait() == 7
    assert again.out() == lines(30)


@pytest.mark.parametrize("command", ["chkpnt", "cr_checkpoint"])
def test_the_shims(site: Site, user: User, evil: EvilCriu, command: str) -> None:
    loose = Loose(site, user)
    image = loose.directory / "image"
    dump = ("-p", loose.pid, "-od", image) if command == "chkpnt" else ("-f", image, loose.pid)
    restart = ("resume", "-od", image) if command == "chkpnt" else ("cr_restart", image)
    evil.tell("go", stay="yes")
    evil.in_place()
    made = loose.call(command, *dump)
    assert made.returncode == 0, made.stderr
    evil.gained_nothing(command, "dump")
    loose.end()
    loose.may_end.touch()
    assert loose.go_on(*restart)[:2] == (7, lines(40))
    evil.gained_nothing(restart[0], "restore")


@pytest.fixture
def lsf(site: Site, user: User, evil: EvilCriu) -> Sbatchd:
    return Sbatchd(site, user, user.directory())


def test_lsfs_suspension_and_resumption(evil: EvilCriu, lsf: Sbatchd) -> None:
    job = lsf.counting()
    evil.tell("go", stay="yes")
    evil.in_place()
    lsf.bstop(job)
    assert job.tree() == []
    evil.gained_nothing("lsf-jobstarter, suspend", "dump")
    lsf.bresume(job)
    evil.gained_nothing("lsf-jobstarter, resume", "restore")
    lsf.complete(job)
    lsf.end()


def test_lsfs_echkpnt_and_erestart(evil: EvilCriu, lsf: Sbatchd) -> None:
    job = lsf.counting()
    evil.tell("go", stay="yes")
    evil.in_place()
    assert lsf.bchkpnt(job, "-k"), lsf.log
    evil.gained_nothing("echkpnt", "dump")
    assert lsf.wait(job) == 137
    again = lsf.brestart(job)
    wait_until(lambda: "restart" in [each["event"] for each in lsf.journal()])
    evil.gained_nothing("erestart", "restore")
    lsf.complete(again)
    lsf.end()
