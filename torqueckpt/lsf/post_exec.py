# SPDX-License-Identifier: MIT
"""What LSF's POST_EXEC does: the images of a job that has ended for good go."""

from __future__ import annotations

import os
from collections.abc import Mapping

from torqueckpt.batch.lsf import post_exec
from torqueckpt.errors import BadArguments, LastImageKept, StoreMissing, UnknownJob
from torqueckpt.identity import Owner
from torqueckpt.images import catalogue
from torqueckpt.settings import Settings


def clean(who: Owner, settings: Settings, environment: Mapping[str, str]) -> tuple[str, list[int]]:
    """The job, and the generations that went; LastImageKept while LSF may start it again.

    A job that was never checkpointed is fine.
    """
    if os.getuid() == 0:
        problem = "POST_EXEC runs as root here, and removes what a job's user names"
        usage = "POST_EXEC without PRE_POST_EXEC_USER"
        raise BadArguments(program="torqueckpt delete", problem=problem, usage=usage)
    job = post_exec.job_of(environment)
    try:
        held = catalogue.waits_for_its_image(job, who, settings)
        failed = catalogue.could_not_restart(job, who, settings)
        if failed or post_exec.comes_again(environment, held):
            with catalogue.lineage_of(job, who, settings) as (_, lineage):
                newest = max(lineage.numbers(), default=0)
            why = "could not be restarted from it" if failed else "may be started from it again"
            raise LastImageKept(job=job, generation=newest, why=why)
        return job, catalogue.delete(job, who, settings, None)
    except (UnknownJob, StoreMissing):
        return job, []
