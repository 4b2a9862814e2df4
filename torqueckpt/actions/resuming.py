# SPDX-License-Identifier: MIT
"""Going on inside a new batch job, as its owner: all that needs no rights, then the door."""

from __future__ import annotations

import os
from typing import NoReturn

from torqueckpt import paths, run
from torqueckpt.actions import restoring, through_door
from torqueckpt.actions.phases import Leaving, Phase, alone, untold
from torqueckpt.actions.restart import prepare
from torqueckpt.actions.through_door import SUDO
from torqueckpt.errors import ProgramMissing
from torqueckpt.process import become
from torqueckpt.request import RestartRequest
from torqueckpt.settings import Settings


def resume(
    request: RestartRequest, settings: Settings, phase: Phase = untold, leaving: Leaving = alone
) -> NoReturn:
    """Become the door, which becomes the job; what was changed is undone when that fails."""
    door = str(paths.installation() / "rootdoor")
    shut = through_door.closed()
    if shut:
        raise ProgramMissing(program=door, problem=shut)
    me = become.owner_of_uid(os.getuid())
    prepared = prepare(request, me, restoring.own_outputs, settings, phase=phase)
    with prepared as (_, lineage, made, lock):
        leaving(lineage, made, lock)
        os.dup2(lock, 0)
        words = ["restore", lineage.name, str(made.generation), request.present_job]
        os.execve(SUDO, [SUDO, "-n", door, *words], {"PATH": run.PATH})
