# SPDX-License-Identifier: MIT
"""lsf-jobstarter: LSF's JOB_STARTER; it stays as the job and ends with the job's status.

JOB_STARTER = lsf-jobstarter; exit $?; %USRCMD
"""

from __future__ import annotations

import os

from torqueckpt import log, settings
from torqueckpt.batch.lsf import grid_wrapper
from torqueckpt.batch.lsf.calls import LsfJob, StarterCall
from torqueckpt.errors import OWN_FAILURE, TorqueCkptError
from torqueckpt.hooks import entry
from torqueckpt.lsf.starter import JobStarter
from torqueckpt.process.inherited import environment
from torqueckpt.settings import Settings


def main(argv: list[str]) -> int:
    umask = os.umask(0o077)
    return entry.run_hook("lsf-jobstarter", lambda: _start(argv, umask), own_failure=OWN_FAILURE)


def _start(argv: list[str], umask: int) -> int:
    call, job = StarterCall.from_argv(argv, os.environ), LsfJob.from_environment(os.environ)
    given = environment() | {grid_wrapper.VARIABLE.encode(): grid_wrapper.VALUE.encode()}
    return JobStarter(job, _settings(), given, umask).run(call)


def _settings() -> Settings:
    """Read the settings.

    When unreadable, the defaults: the job loses its checkpoints, not its life.
    """
    try:
        return settings.load()
    except TorqueCkptError as broken:
        log.error(str(broken))
        return Settings()
