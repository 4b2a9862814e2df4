# SPDX-License-Identifier: MIT
"""A job of LSF that was lost with its host goes on by the script of `torqueckpt resume-job`."""

from __future__ import annotations

import signal
import subprocess

import pytest

from tests.lsf.lsf_job import LsfJob
from tests.lsf.sbatchd import COUNTING, Sbatchd
from tests.support import LIMIT_SECONDS, Site, wait_until

_SCRIPT = COUNTING.replace("#!/bin/sh\n", "#!/bin/sh\n#BSUB -W 8:00\n#BSUB -M 4000000\n", 1)


@pytest.fixture
def lost(lsf: Sbatchd) -> LsfJob:
    """A job with an image, whose processes have all gone since."""
    job = lsf.bsub(script=_SCRIPT)
    job.wait_for_line(5)
    assert lsf.bchkpnt(job), lsf.log
    job.wait_for_line(10)
    lsf.bkill(job, signal.SIGKILL)  # nobody calls POST_EXEC
    job.res.wait(LIMIT_SECONDS)
    wait_until(lambda: not lsf.user.processes())
    return job


def test_the_script_asks_as_the_job_did_and_goes_on_under_a_new_number(
    lsf: Sbatchd, site: Site, lost: LsfJob
) -> None:
    script = lsf.home / "resume_job.sh"
    made = site.call(lsf.user, "resume-job", lost.id, "-o", str(script))
    assert made.returncode == 0, made.stderr
    text = script.read_text()
    for line in ("-q preemptable", "-J counting", "-W 8:00", "-M 4000000"):
        assert f"#BSUB {line}\n" in text
    assert "#PBS" not in text and "bsub < resume_job.sh" in text
    again = lsf.bsub(script=text)
    again.wait_for_line(12)
    lsf.bstop(again)
    lsf.bresume(again)
    lsf.complete(again)
    assert again.spooled().startswith("line 1\nline 2\n")


def test_submit_hands_it_to_bsub(lsf: Sbatchd, site: Site, lost: LsfJob) -> None:
    bin_directory = lsf.home / "bin"
    bin_directory.mkdir()
    program = bin_directory / "bsub"
    program.write_text(
        f"#!/bin/sh\npwd >{lsf.home}/where\ncat >{lsf.home}/given\n"
        "echo 'maintenance on Friday' >&2; echo 'Job <202> is submitted to queue <preemptable>.'\n"
    )
    program.chmod(0o755)
    path = f"PATH={bin_directory}:/usr/bin:/bin"
    argv = lsf.user.argv("/usr/bin/env", path, site.program, "resume-job", lost.id, "--submit")
    done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_SECONDS)
    assert (done.returncode, done.stdout) == (0, "202\n"), done.stderr
    assert done.stderr == "maintenance on Friday\n"
    given = (lsf.home / "given").read_text()
    assert given == site.call(lsf.user, "resume-job", lost.id).stdout
    assert (lsf.home / "where").read_text() == f"{lsf.home}\n"
