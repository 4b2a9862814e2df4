# SPDX-License-Identifier: MIT
"""The scripts of 2005's guide (SGI Altix and TORQUE), as they stood there, on today's kernels.

Only the names of the application and of the directories are others.
"""

from __future__ import annotations

import os

import pytest

from tests.support import Running, Site, User, counting, lines, wait_until

pytestmark = pytest.mark.skipif(not os.path.exists("/bin/ps"), reason="no /bin/ps (procps) here")

MOM_CHECKPOINT = """#!/bin/sh

job_pid=$1
job_id=$2
exec_pid=`/bin/ps -ef | /usr/bin/grep $1 | /usr/bin/awk '{ if ($3 == PATTERN)
    print $2; }' PATTERN=$job_pid`
OUTPUT_DIR=/var/spool/checkpoint/$exec_pid.job_id

/usr/local/bin/chkpnt -q -p $exec_pid -od $OUTPUT_DIR
"""
RESUME_JOB = """#!/bin/sh

/usr/local/bin/resume -drp -cwd $PBS_O_WORKDIR -od DIRECTORY_WITH_IMAGE
"""


def _here(site: Site, script: str) -> str:
    moved = script.replace("/usr/local/bin", str(site.root / "bin"))
    return moved.replace("/var/spool/checkpoint", str(site.store))


@pytest.fixture
def seed_site(site: Site) -> Site:
    """A site whose MOM calls the guide's script."""
    site.checkpoint_program.unlink()
    site.checkpoint_program.write_text(_here(site, MOM_CHECKPOINT))
    site.checkpoint_program.chmod(0o755)
    return site


def _resume(site: Site, user: User, crashed: Running, exec_pid: int) -> Running:
    image = site.store / f"{exec_pid}.job_id"
    script = _here(site, RESUME_JOB).replace("DIRECTORY_WITH_IMAGE", str(image))
    return site.start(user, user.script(script, crashed.directory, "resume_job.sh"), "-c", "c=1s")


def test_a_job_is_dumped_every_period_and_resumed_by_its_user_twice(
    seed_site: Site, user: User
) -> None:
    script = user.script(counting(100), user.directory())
    first = seed_site.start(user, script, "-c", "c=1s")
    exec_pid = first.exec_pid()
    seed_site.wait_for_images(first.job, 2)
    first.crash()

    second = _resume(seed_site, user, first, exec_pid)
    before = max(seed_site.generations(first.job))
    child = second.exec_pid()
    seed_site.wait_for_newer(first.job, before)
    wait_until(lambda: os.path.islink(seed_site.store / f"{child}.job_id"))
    second.crash()

    third = _resume(seed_site, user, second, child)
    assert third.wait() == 7
    assert third.out() == lines(100)


def test_the_guides_name_without_the_dollar_lets_one_job_lose_its_image_to_another(
    seed_site: Site, user: User
) -> None:
    """`$exec_pid.job_id` is the same name for two jobs whose application got the same pid, as after
    a reboot, or on two nodes of a shared file system."""
    first = seed_site.start(user, user.script(counting(60), user.directory()))
    second = seed_site.start(user, user.script(counting(60), user.directory()))
    same = seed_site.store / "4242.job_id"
    for job in (first, second):
        words = (seed_site.root / "bin" / "chkpnt", "-q", "-p", str(job.exec_pid()), "-od", same)
        assert os.spawnv(os.P_WAIT, words[0], list(map(str, words))) == 0
    assert second.job in os.readlink(same)  # the first job's image cannot be found by its name
    assert {row["job"] for row in seed_site.rows()} == {first.job, second.job}  # but is not lost


def test_mom_checkpoint_keeps_two_jobs_apart_under_the_same_scheme(site: Site, user: User) -> None:
    jobs = [site.start(user, user.script(counting(60), user.directory())) for _ in range(2)]
    for job in jobs:
        argv = job.hook_argv()
        assert os.spawnv(os.P_WAIT, argv[0], argv) == 0
        assert (site.store / f"{job.exec_pid()}.{job.job}" / "inventory.img").exists()
