# SPDX-License-Identifier: MIT
"""Ask rootdoor, which users run as root through sudo, for a dump, a restore, a store."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from torqueckpt import paths, run
from torqueckpt.errors import CheckpointRefused, ProgramMissing
from torqueckpt.identity import ImageRef, is_lineage_name
from torqueckpt.process import inherited, privileges
from torqueckpt.request import RestartRequest
from torqueckpt.restart import output
from torqueckpt.restart.choose import StepProgress, no_progress
from torqueckpt.restart.plan import Restart
from torqueckpt.restart.restart import prepare
from torqueckpt.settings import Settings

SUDO = "/usr/bin/sudo"

_LONGER_SECONDS = 60  # than the dump's own limit: the door has more to do


def make_owner_store() -> None:
    door = str(paths.installation() / "rootdoor")
    finished = run.run([SUDO, "-n", door, "store"], timeout_seconds=60)
    if not finished.ok:
        raise ProgramMissing(program=door, problem=finished.last_line())


def closed() -> str:
    """Why sudo does not let this user call rootdoor; "" where it does.

    Of sudo's rules the last that fits counts.  Where that is another than torqueckpt's, rootdoor is
    called to see: `sudo -l rootdoor` shows the same for a rule that asks for a password.
    """
    door = str(paths.installation() / "rootdoor")
    rules = run.run([SUDO, "-n", "-l"], timeout_seconds=60).output.splitlines()
    fitting = [rule.strip() for rule in rules if door in rule or rule.endswith(" ALL")]
    if fitting and fitting[-1].endswith(f" NOPASSWD: {door}"):
        return ""
    answered = run.run([SUDO, "-n", door, "knock"], timeout_seconds=60)
    return "" if answered.ok else answered.last_line() or f"sudo ended with {answered.status}"


def dump(verb: str, pid: int, end: bool, job: str, settings: Settings) -> ImageRef:
    """Have rootdoor dump a job; `verb` is checkpoint, suspend or dump.

    CheckpointRefused with its reason.

    Rootdoor is started with no signal held back, whatever the caller holds back.
    """
    door = str(paths.installation() / "rootdoor")
    finished = run.run(
        [SUDO, "-n", door, verb, str(pid), "15" if end else "0", job],
        timeout_seconds=settings.dump_timeout_seconds + _LONGER_SECONDS,
        in_child=run.hold_nothing_back,
    )
    lineage, _, number = finished.output.strip().partition(" ")
    if not finished.ok or not is_lineage_name(lineage) or not number.isdigit():
        raise CheckpointRefused(reason=finished.last_line() or "the door gave no reason")
    return ImageRef(lineage, int(number))


def resume(
    request: RestartRequest, settings: Settings, progress: StepProgress = no_progress
) -> NoReturn:
    """Prepare the restart as the owner, then become rootdoor, which becomes the job.

    What was changed is undone when that fails.
    """
    door = str(paths.installation() / "rootdoor")
    shut = closed()
    if shut:
        raise ProgramMissing(program=door, problem=shut)
    me = privileges.owner_of_uid(os.getuid())
    restart = Restart(request, me, settings, progress=progress)
    with prepare(restart, output.own_outputs) as prepared:
        lineage, manifest = prepared.lineage, prepared.manifest
        if sys.stderr.isatty():  # for somebody who waits there; the door itself says nothing
            inherited.tell(f"restore generation {manifest.generation}")
        os.dup2(prepared.lock, 0)
        words = ["restore", lineage.name, str(manifest.generation), request.present_job]
        os.execve(SUDO, [SUDO, "-n", door, *words], {"PATH": run.PATH})
