# SPDX-License-Identifier: MIT
"""mom-restart: pbs_mom's $restart_script; it stays as the job and ends with the job's status."""

from __future__ import annotations

from contextlib import nullcontext

from torqueckpt import settings
from torqueckpt.actions import restoring
from torqueckpt.actions.restart import prepare, restore
from torqueckpt.batch import pointer
from torqueckpt.batch.openpbs.calls import WORD, ActionCall
from torqueckpt.batch.torque.calls import MomCall
from torqueckpt.batch.torque.keep_held import keep_held
from torqueckpt.errors import OWN_FAILURE, BadArguments, TorqueCkptError
from torqueckpt.hooks import door
from torqueckpt.process import become
from torqueckpt.store import key


def main(argv: list[str]) -> int:
    return door.run("mom-restart", lambda: _restart(argv), own_failure=OWN_FAILURE)


def _restart(argv: list[str]) -> int:
    openpbs = argv[:1] == [WORD]
    call = ActionCall.restart(argv) if openpbs else MomCall.restart(argv)
    if call.owner is None:
        raise BadArguments(program="mom-restart", problem="no user", usage="SID JOBID EUSER …")
    chosen = settings.load()
    secret = key.read(chosen.key())
    who = become.owner(call.owner)
    with nullcontext() if openpbs else become.acting_as(who):  # OpenPBS's directory is root's own
        found = pointer.read(call.directory, call.name) if call.directory and call.name else None
    request = call.to_restart(found.generation if found else None)
    try:
        with prepare(request, who, restoring.spooled_outputs, chosen, secret) as prepared:
            mine, lineage, made, lock = prepared
            return restore(mine, lineage, made, who, lock, chosen)
    except TorqueCkptError as failure:  # MOM has put our own stderr on /dev/null
        restoring.tell_in_output(call.job_id, who, chosen, str(failure))
        if not openpbs:
            keep_held(call.job_id, str(failure), chosen)
        raise
