# SPDX-License-Identifier: MIT
"""mom-restart: pbs_mom's $restart_script; it stays as the job and ends with the job's status."""

from __future__ import annotations

from contextlib import closing, nullcontext

from torqueckpt import settings
from torqueckpt.batch import pointer
from torqueckpt.batch.openpbs.calls import WORD, ActionCall
from torqueckpt.batch.openpbs.comment import comment
from torqueckpt.batch.torque.calls import MomCall
from torqueckpt.batch.torque.hold import keep_held
from torqueckpt.errors import OWN_FAILURE, BadArguments, ImageDamaged, TorqueCkptError
from torqueckpt.hooks import entry
from torqueckpt.identity import job_id
from torqueckpt.process import privileges, supervise
from torqueckpt.restart import detached
from torqueckpt.restart.restart import prepare, restore
from torqueckpt.restart.verify import Beside
from torqueckpt.settings import Settings
from torqueckpt.store import key


def main(argv: list[str]) -> int:
    return entry.run("mom-restart", lambda: _restart(argv), own_failure=OWN_FAILURE)


def _restart(argv: list[str]) -> int:
    openpbs, chosen = argv[:1] == [WORD], Settings()
    try:
        chosen = settings.load()
        return _go_on(ActionCall.restart(argv) if openpbs else MomCall.restart(argv), chosen)
    except Exception as failure:  # whatever it is: MOM would take our status for the job's
        for job in argv[2:3] if openpbs else argv[1:2]:
            if openpbs:
                comment(job_id(job), f"restart failed, the image is kept: {failure}", chosen)
            else:
                keep_held(job_id(job), str(failure), chosen)
        raise


def _go_on(call: ActionCall | MomCall, chosen: Settings) -> int:
    if call.owner is None:
        raise BadArguments(program="mom-restart", problem="no user", usage="SID JOBID EUSER …")
    secret = key.read(chosen.key())
    who = privileges.owner(call.owner)
    openpbs = isinstance(call, ActionCall)
    with (
        nullcontext() if openpbs else privileges.acting_as(who)
    ):  # OpenPBS's directory is root's own
        found = pointer.read(call.directory, call.name) if call.directory and call.name else None
    if isinstance(call, MomCall) and call.directory and call.name and found is None:
        detached.refuse_without_pointer(call.job_id, call.directory, call.name, who, chosen)
    request = call.to_restart(found.generation if found else None)

    def restarted(beside: Beside | None) -> int:
        outputs = detached.spooled_outputs
        with prepare(request, who, outputs, chosen, secret, beside=beside) as prepared:
            mine, lineage, made, lock = prepared
            return restore(mine, lineage, made, who, lock, chosen, beside)

    try:
        with closing(Beside(who, chosen)) as beside:
            try:
                return restarted(beside)
            except ImageDamaged:
                if not beside.found_damage:
                    raise
        supervise.give_up()
        return restarted(None)  # from an older one, if there is one that is whole
    except TorqueCkptError as failure:  # MOM has put our own stderr on /dev/null
        detached.tell_in_output(call.job_id, who, chosen, str(failure))
        raise
