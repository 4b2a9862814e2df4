# SPDX-License-Identifier: MIT
"""mom-restart: pbs_mom's $restart_script; it stays as the job and ends with the job's status.

OpenPBS's $action restart has the job queued again instead (batch/openpbs/requeue.py).
"""

from __future__ import annotations

import os
import time
from contextlib import closing, nullcontext
from pathlib import Path

from torqueckpt import log, settings
from torqueckpt.batch import pointer
from torqueckpt.batch.openpbs import launch_hook, requeue
from torqueckpt.batch.openpbs.calls import WORD, ActionCall
from torqueckpt.batch.openpbs.comment import comment
from torqueckpt.batch.torque.calls import MomCall
from torqueckpt.batch.torque.hold import keep_held
from torqueckpt.errors import (
    OWN_FAILURE,
    BadArguments,
    ImageDamaged,
    NoImage,
    PointerMissing,
    StoreNotWritable,
    TorqueCkptError,
)
from torqueckpt.hooks import entry
from torqueckpt.identity import Owner, job_id
from torqueckpt.process import privileges, supervise, system_calls
from torqueckpt.restart import output
from torqueckpt.restart.plan import Restart
from torqueckpt.restart.restart import prepare, restore
from torqueckpt.restart.verify import MemoryVerifier
from torqueckpt.settings import Settings
from torqueckpt.store import access, journal, key, marks


def main(argv: list[str]) -> int:
    return entry.run_root_hook("mom-restart", lambda: _restart(argv), own_failure=OWN_FAILURE)


def _restart(argv: list[str]) -> int:
    system_calls.join_new_session_keyring()  # of the daemon's; of a job's, none comes back
    openpbs, chosen = argv[:1] == [WORD], Settings()
    try:
        chosen = settings.load()
        call = ActionCall.restart(argv) if openpbs else MomCall.restart(argv)
        if isinstance(call, ActionCall) and call.requeue:
            requeue.requeue(call.job_id, chosen, _why_not(call, chosen))
            return 0
        return _go_on(call, chosen)
    except Exception as failure:  # whatever it is: MOM would take our status for the job's
        for job in argv[2:3] if openpbs else argv[1:2]:
            if openpbs:
                comment(job_id(job), f"restart failed, the image is kept: {failure}", chosen)
            else:
                keep_held(job_id(job), str(failure), chosen)
        raise


def _why_not(call: ActionCall, chosen: Settings) -> str:
    """Mark the job as one that waits for its image; gives why it would not go on from it, or ""."""
    try:
        launch_hook.refuse_without(os.environ.get("PBS_NODEFILE", ""))
        owner = privileges.owner(call.owner)
        with access.lineage_of(call.job_id, owner, chosen) as (_, lineage):
            if not lineage.newest_number():
                raise NoImage(job=call.job_id, which="")
            marks.held(lineage, call.job_id)
            if marks.held_job(lineage) != call.job_id:
                raise StoreNotWritable(path=lineage.path, problem="its mark could not be written")
    except (TorqueCkptError, OSError) as problem:
        log.error(f"{call.job_id}: {problem}")
        return str(problem)
    return ""


def _go_on(call: ActionCall | MomCall, chosen: Settings) -> int:
    if call.owner is None:
        raise BadArguments(program="mom-restart", problem="no user", usage="SID JOBID EUSER …")
    owner, began = privileges.owner(call.owner), int(time.time())
    try:
        return _bring_back(call, owner, chosen)
    except Exception as failure:  # MOM has put our own stderr on /dev/null
        if os.getuid() == 0:  # else the job has run
            output.tell_in_output(call.job_id, owner, chosen, str(failure))
            _note(call.job_id, owner, chosen, began, str(failure))
        raise


def _note(job: str, owner: Owner, settings: Settings, since: int, reason: str) -> None:
    """Put the failure into the owner's journal, unless it is there."""
    try:
        with access.lineage_of(job, owner, settings) as (owner_store, lineage):
            journal.noted_failure(owner_store, lineage.first_job, lineage.name, since, reason)
    except (TorqueCkptError, OSError) as trouble:
        log.warning(f"{job}: not noted: {trouble}")


def _bring_back(call: ActionCall | MomCall, owner: Owner, chosen: Settings) -> int:
    secret = key.read(chosen.key())
    openpbs = isinstance(call, ActionCall)
    # OpenPBS's directory is root's own
    with nullcontext() if openpbs else privileges.acting_as(owner):
        found = pointer.read(call.directory, call.name) if call.directory and call.name else None
    if isinstance(call, MomCall) and call.directory and call.name and found is None:
        refuse_without_pointer(call.job_id, call.directory, call.name, owner, chosen)
    request = call.to_restart(found.generation if found else None)

    def restarted(verifier: MemoryVerifier | None) -> int:
        wanted = Restart(request, owner, chosen, secret, verifier=verifier, in_place=True)
        with prepare(wanted, output.spooled_outputs) as prepared:
            return restore(prepared)

    with closing(MemoryVerifier(owner, chosen)) as verifier:
        try:
            return restarted(verifier)
        except ImageDamaged:
            if not verifier.found_damage:
                raise
    supervise.give_up()
    return restarted(None)  # from an older one, if there is one that is whole


def refuse_without_pointer(
    job: str, directory: Path, name: str, owner: Owner, settings: Settings
) -> None:
    """Raise PointerMissing when MOM would not find an image at its path.

    A pointer is written there.

    TORQUE's MOM looks for it once this program has been started, and then requeues the job at once
    and again and again: what was restored meanwhile would run beside the job.
    """
    with privileges.acting_as(owner):
        if os.path.exists(directory / name):  # MOM follows links
            return
        with access.lineage_of(job, owner, settings) as (_, lineage):
            pointer.make_place(directory)
            pointer.write(directory, name, lineage.name, lineage.newest_number())
    raise PointerMissing(job=job, path=directory / name)
