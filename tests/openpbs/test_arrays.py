# SPDX-License-Identifier: MIT
"""Members of arrays: images come from the periodic service alone, as MOM and qhold make none."""

from __future__ import annotations

from pathlib import Path

from tests.openpbs.private import PrivateOpenPBS
from tests.support import User, count_script, lines

_ARRAY = ("-J", "1-2", "-l", "ncpus=0")


def members(openpbs: PrivateOpenPBS, owner: User, script: Path, *options: str) -> list[str]:
    """Both running."""
    array = openpbs.submit(owner, script, *_ARRAY, *options)
    found = [array.replace("[]", f"[{index}]") for index in (1, 2)]
    for job in found:
        openpbs.wait(
            lambda job=job: openpbs.full_status(job).get("session_id"),
            f"{job}'s session",
            60,
            lambda: openpbs.check("qstat", "-t"),
        )
    return found


def test_members_are_saved_when_the_node_goes_down(
    openpbs: PrivateOpenPBS, owner: User, directory: Path
) -> None:
    jobs = members(openpbs, owner, owner.script(count_script(200), directory))
    told = openpbs.check(openpbs.torqueckpt, "periodic", "--shutdown").split()
    assert sorted(told) == jobs
    assert [openpbs.newest(job) for job in jobs] == [1, 1]


def test_members_get_images_by_their_arrays_c_and_a_killed_one_goes_on_to_its_end(
    openpbs: PrivateOpenPBS, owner: User, directory: Path
) -> None:
    script = owner.script(count_script(240, pause=0.5), directory)
    jobs = members(openpbs, owner, script, "-c", "w=1")
    with openpbs.periodic(jitter_seconds=0):
        for job in jobs:
            openpbs.wait_for_image(job, 0, 150)
    refused = openpbs.run("qhold", jobs[0], user=owner)
    assert (refused.returncode != 0, openpbs.state(jobs[0])) == (True, "R"), refused
    for process in openpbs.session(int(openpbs.full_status(jobs[1])["session_id"])):
        openpbs.kill(process)
    ended = openpbs.wait(
        lambda: openpbs.full_status(jobs[1]).get("Exit_status"), "the killed one's end"
    )
    assert ended != "7"
    new = openpbs.check(openpbs.torqueckpt, "resume-job", jobs[1], "--submit", user=owner)
    ended = openpbs.wait_for_state(new, "F", 200)
    assert ended["Exit_status"] == "7", ended
    assert openpbs.delivered(new, directory) == (lines(240), "")
    openpbs.wait(lambda: openpbs.state(jobs[0]) in ("X", "F"), "the other's end", 100)
    number = jobs[0].partition("[")[0]
    other = directory / f"run_job.sh.o{number}.1"
    openpbs.wait(other.exists, "the other's output")
    assert other.read_text() == lines(240)


def test_what_waits_for_a_job_waits_for_its_resume_job_be_it_an_array_or_behind_one_in_the_list(
    openpbs: PrivateOpenPBS, owner: User, directory: Path
) -> None:
    script = owner.script(count_script(1000), directory)
    job = openpbs.start_job(owner, script)
    openpbs.check(openpbs.torqueckpt, "periodic", "--shutdown")
    depend = f"depend=afterany:{job}"
    waiting = [openpbs.submit(owner, script, *words, "-W", depend) for words in (_ARRAY, ())]
    done = openpbs.run(openpbs.torqueckpt, "resume-job", job, "--submit", user=owner)
    assert (done.returncode, "not moved" in done.stderr) == (0, False), done.stderr
    found = [openpbs.full_status(each)["depend"].partition("@")[0] for each in waiting]
    assert found == [f"afterany:{done.stdout.strip()}"] * 2
