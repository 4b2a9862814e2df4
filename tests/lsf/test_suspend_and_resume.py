# SPDX-License-Identifier: MIT
"""The six steps of a site's design for LSF, with real processes and real dumps."""

from __future__ import annotations

import pytest

from tests.lsf.sbatchd import Sbatchd
from tests.support import count_script, lines


def test_a_job_that_is_never_suspended_ends_with_its_own_status(lsf: Sbatchd) -> None:
    job = lsf.bsub(script=count_script(3))
    assert lsf.wait(job) == 7
    assert job.spooled() == lines(3)
    assert not job.directory.exists()


def test_suspended_three_times_each_line_comes_once_and_the_status_is_kept(lsf: Sbatchd) -> None:
    job = lsf.bsub(script=count_script(60))
    for line in (5, 15, 25):
        job.wait_for_line(line)
        lsf.bstop(job)
        assert job.tree() == []
        lsf.bresume(job)
    assert lsf.wait(job) == 7
    assert job.spooled() == lines(60)
    assert lsf.log == []
