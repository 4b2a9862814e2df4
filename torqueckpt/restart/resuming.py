# SPDX-License-Identifier: MIT
"""Going on inside a new batch job, as its owner: all that needs no rights, then the door."""

from __future__ import annotations

import os
from typing import NoReturn

from torqueckpt import paths, run
from torqueckpt.errors import ProgramMissing
from torqueckpt.process import privileges
from torqueckpt.request import RestartRequest
from torqueckpt.restart import detached
from torqueckpt.restart.door import SUDO, closed
from torqueckpt.restart.phases import Leaving, Phase, alone, untold
from torqueckpt.restart.restart import prepare
from torqueckpt.settings import Settings


def resume(
    request: RestartRequest, settings: Settings, phase: Phase = untold, leaving: Leaving = alone
) -> NoReturn:
    """Become the door, which becomes the job; what was changed is undone when that fails."""
    door = str(paths.installation() / "rootdoor")
    shut = closed()
    if shut:
        raise ProgramMissing(program=door, problem=shut)
    me = privileges.owner_of_uid(os.getuid())
    prepared = prepare(request, me, detached.own_outputs, settings, phase=phase)
    with prepared as (_, lineage, made, lock):
        leaving(lineage, made, lock)
        os.dup2(lock, 0)
        words = ["restore", lineage.name, str(made.generation), request.present_job]
        os.execve(SUDO, [SUDO, "-n", door, *words], {"PATH": run.PATH})
