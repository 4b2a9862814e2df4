# SPDX-License-Identifier: MIT
"""What OpenPBS alone does to jobs that were held: holds them once, and forgets them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.openpbs.private import PrivateOpenPBS
from tests.support import User, count_script, lines


def test_a_job_is_held_again_and_again(
    openpbs: PrivateOpenPBS, owner: User, directory: Path
) -> None:
    """Each time it is an ordinary job for OpenPBS, whose limits count."""
    job = openpbs.start_job(owner, owner.script(count_script(120), directory))
    for number in (1, 2, 3):
        openpbs.wait_for_line(job, 25 * number)
        openpbs.hold(job, owner)
        assert openpbs.newest(job) == number
        openpbs.release(job, owner)
        openpbs.wait_until_restarted(job)
    assert openpbs.wait_for_state(job, "F", 60)["Exit_status"] == "7"
    assert openpbs.delivered(job, directory) == (lines(120), "")


def test_a_restarted_job_has_the_files_open_that_it_had(
    openpbs: PrivateOpenPBS, owner: User, directory: Path
) -> None:
    job = openpbs.start_job(owner, owner.script(count_script(80), directory))
    openpbs.wait_for_line(job, 5)
    before = files_of_script(openpbs, owner)
    assert len(before) == 4
    openpbs.hold(job, owner)
    openpbs.release(job, owner)
    openpbs.wait_until_restarted(job)
    openpbs.wait_for_line(job, 40)
    assert files_of_script(openpbs, owner) == before


def test_with_the_lines_of_an_earlier_version_the_restart_stays_as_the_job(
    openpbs: PrivateOpenPBS, owner: User, directory: Path
) -> None:
    """As long as a job has no limit: MOM kills one that has.  It calls with descriptors 0, 1 and 2
    closed and its own log as the third."""
    present = openpbs.mom_config.read_bytes()
    earlier = present.replace(b" requeue\n", b"\n").replace(b"mogrify false", b"mogrify true")
    openpbs.reconfigure_mom(earlier)
    openpbs.check("qmgr", "-c", "unset queue workq resources_default")
    try:
        script = owner.script(count_script(60), directory)
        job = openpbs.start_without_limits(owner, script)
        openpbs.wait_for_line(job, 5)
        before = files_of_script(openpbs, owner)
        openpbs.hold(job, owner)
        openpbs.release(job, owner)
        openpbs.wait(lambda: openpbs.supervisor(job), "a restart", 30, openpbs.mom_log)
        openpbs.wait_for_line(job, 40)
        supervisor = openpbs.supervisor(job)
        assert supervisor is not None
        assert list(opened(openpbs, supervisor).values())[:3] == ["/dev/null"] * 3
        assert not [to for to in opened(openpbs, supervisor).values() if "_logs/" in to]
        assert files_of_script(openpbs, owner) == before
        assert openpbs.wait_for_state(job, "F", 60)["Exit_status"] == "7"
        assert openpbs.delivered(job, directory) == (lines(60), "")
    finally:
        openpbs.reconfigure_mom(present)
        openpbs.limit_queue()


def restart_server(openpbs: PrivateOpenPBS) -> None:
    openpbs.check("qterm", "-t", "quick")
    openpbs.wait(lambda: openpbs.run("qstat", "-B").returncode != 0, "the server's end")
    openpbs.start_server()


def restart_mom(openpbs: PrivateOpenPBS) -> None:
    openpbs.kill_mom()
    openpbs.start_mom()


def held_and_forgotten(
    openpbs: PrivateOpenPBS, owner: User, directory: Path, restart: Callable[[PrivateOpenPBS], None]
) -> str:
    """OpenPBS's own doing: after a restart of either MOM throws away what it keeps of held jobs."""
    job = openpbs.start_job(owner, owner.script(count_script(60), directory))
    openpbs.wait_for_line(job, 20)
    openpbs.hold(job, owner)
    restart(openpbs)
    openpbs.wait(lambda: f"{job};Job discarded" in openpbs.mom_log(), "MOM's forgetting")
    assert openpbs.state(job) == "H"
    assert [row["whole"] for row in openpbs.images(job)] == [True]
    return job


def test_a_held_job_that_was_forgotten_goes_on_from_its_image_as_a_new_one(
    openpbs: PrivateOpenPBS, owner: User, directory: Path
) -> None:
    job = held_and_forgotten(openpbs, owner, directory, restart_server)
    openpbs.check("qdel", job, user=owner)
    resumed = openpbs.resume(job, owner, directory)
    assert openpbs.wait_for_state(resumed, "F", 60)["Exit_status"] == "7"
    assert openpbs.delivered(resumed, directory) == (lines(60), "")


def test_a_held_job_that_was_forgotten_goes_on_by_itself(
    openpbs: PrivateOpenPBS, owner: User, directory: Path
) -> None:
    job = held_and_forgotten(openpbs, owner, directory, restart_mom)
    openpbs.wait_until_free()
    openpbs.check("qrls", job, user=owner)
    assert openpbs.wait_for_state(job, "F", 60)["Exit_status"] == "7"
    assert openpbs.delivered(job, directory) == (lines(60), "")


def test_without_the_launch_hook_a_released_job_waits_for_it(
    openpbs: PrivateOpenPBS, owner: User, directory: Path
) -> None:
    """It would start from the beginning."""
    job = openpbs.start_job(owner, owner.script(count_script(60), directory))
    openpbs.wait_for_line(job, 20)
    openpbs.hold(job, owner)
    with openpbs.without_launch_hook():
        checked = openpbs.run(*openpbs.configure_argv("--check"))
        assert checked.returncode != 0 and "launch hook is not there" in checked.stdout
        openpbs.release(job, owner)
        status = openpbs.wait(
            lambda: "launch hook" in openpbs.full_status(job).get("comment", ""), "a comment"
        )
        status = openpbs.full_status(job)
        assert (status["job_state"], status["Hold_Types"]) == ("H", "o")
    openpbs.check("qrls", "-h", "o", job)
    assert openpbs.wait_for_state(job, "F", 60)["Exit_status"] == "7"
    assert openpbs.delivered(job, directory) == (lines(60), "")


def opened(openpbs: PrivateOpenPBS, pid: int) -> dict[str, str]:
    """What a process in there has open, by descriptor."""
    rows = openpbs.check("find", f"/proc/{pid}/fd", "-type", "l", "-printf", "%f %l\n")
    found = dict(row.split(" ", 1) for row in rows.splitlines())
    return {fd: found[fd] for fd in sorted(found, key=int)}


def files_of_script(openpbs: PrivateOpenPBS, owner: User) -> dict[str, str]:
    """The same of the shell that runs the job's script; names of files alone."""
    for pid in openpbs.processes(owner):
        found = {fd: to.rpartition("/")[2] for fd, to in opened(openpbs, pid).items()}
        if any(name.endswith(".SC") for name in found.values()):
            return {fd: to for fd, to in found.items() if not to.startswith("pipe:")} | {
                fd: "pipe" for fd, to in found.items() if to.startswith("pipe:")
            }
    return {}
