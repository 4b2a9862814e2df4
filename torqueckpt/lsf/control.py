# SPDX-License-Identifier: MIT
"""Do what LSF's JOB_CONTROLS and POST_EXEC call for: suspend, resume, clean up after a job.

The job's starter does it; where a job has none, it is stopped and continued as LSF would have.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from torqueckpt import log, paths
from torqueckpt.batch import pointer
from torqueckpt.batch.lsf import calls, starter_socket
from torqueckpt.batch.lsf.calls import POINTER, EchkpntCall, LsfJob, restart_command
from torqueckpt.batch.lsf.job_file import STARTER
from torqueckpt.batch.lsf.starter_socket import Answer, Request
from torqueckpt.errors import (
    BadArguments,
    CheckpointRefused,
    LastImageKept,
    NoStarter,
    NotAnImage,
    NotResumed,
    OutputKept,
    StoreMissing,
    StoreNotWritable,
    UnknownJob,
)
from torqueckpt.identity import Owner, is_lineage_name
from torqueckpt.images import catalogue
from torqueckpt.lsf import records
from torqueckpt.process import job_processes, proc, signals
from torqueckpt.safe_files import Directory
from torqueckpt.settings import Settings
from torqueckpt.store import access, claim, journal
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import OwnerStore

# Why images stay although the job has ended, by how it did.
_NOT_NOTED = "may be all that is left of a job that its host took along"
_WHY = {
    journal.SAVED: "may be started from it again",
    journal.NOT_RESTARTED: "could not be restarted from it",
    journal.LIMIT: "has reached a limit and may go on from it",
}
# In LSB_JOBEXIT_INFO, where LSF sets it: "SIGNAL -14 SIG_TERM_USER".
_ENDED_BY_LSF, _ENDED_BY_A_USER = "SIG_TERM_", ("SIG_TERM_USER", "SIG_TERM_FORCE")

_BEGINNING_SECONDS = 2.0  # a job that was started just now may have no starter yet


def suspend(job: LsfJob) -> None:
    """Suspend the job to disk; where that fails, it is stopped at least."""
    answer = _asked(job, "suspend", signal.SIGSTOP, "it is stopped")
    if answer is not None and answer.reason:
        log.warning(f"job {job.id} is {answer.state}: {answer.reason}")


def resume(job: LsfJob) -> None:
    """Resume the job from its image; where it was stopped, it is continued.

    After `bchkpnt` of a suspended job LSF has stopped all of it, also what is above the starter.
    """
    answer = _asked(job, "resume", signal.SIGCONT, "it was continued")
    if answer is not None and answer.reason and answer.state == "saved":
        raise NotResumed(job=job.id, reason=answer.reason)


def checkpoint(group: int, call: EchkpntCall, directory: Path) -> None:
    """Take an image for LSF's own checkpoint, and leave a pointer to it in LSF's directory."""
    starter = starter_socket.connect(None, group)
    if starter is None:
        raise NoStarter(job=f"process group {group}", done="nothing was done")
    pointer.make_place(directory)
    if not os.access(directory, os.W_OK | os.X_OK):
        raise StoreNotWritable(path=directory, problem="no pointer can be put there")
    answer = starter_socket.request(starter, Request("checkpoint", call.after))
    if not is_lineage_name(answer.lineage):
        raise CheckpointRefused(reason=answer.reason or "the job's starter gave no reason")
    pointer.write(directory, POINTER, answer.lineage, answer.generation)
    starter.close()  # where the job was to end it ends now


def prepare_restart(directory: Path, settings: Settings, environment: Mapping[str, str]) -> None:
    """Write for LSF the command that goes on with the job; LSF runs it, as a new job.

    The pointer in the directory is of LSF's last checkpoint.  A job that was suspended since then
    has a newer image, and one that had no such checkpoint is known by LSB_OLD_JOBID.
    """
    try:
        place = directory.resolve(strict=True)
    except OSError as problem:
        raise NotAnImage(path=directory, store=settings.store) from problem
    found = pointer.read(place, POINTER)
    lineage = found.lineage if found is not None else calls.old_job(environment)
    image = records.newest(lineage, settings) or found
    if image is None or not is_lineage_name(image.lineage):
        raise NotAnImage(path=directory, store=settings.store)
    command = restart_command(paths.program("sbin", STARTER), image)
    with Directory.open(place) as opened:
        opened.write_whole(".restart_cmd", f"LSB_RESTART_CMD={command}\n".encode())


def _asked(job: LsfJob, verb: str, instead: signal.Signals, done: str) -> Answer | None:
    """Send a request to the job's starter.

    None where there is none and the job got a signal instead.
    """
    starter = _starter_of(job)
    if starter is not None:
        if verb == "resume":
            _continue_around(job, starter)
        return starter_socket.request(starter, Request(verb))
    _signal_all(job, instead)
    log.warning(str(NoStarter(job=f"job {job.id}", done=done)))
    return None


def _starter_of(job: LsfJob) -> socket.socket | None:
    until = time.monotonic() + _BEGINNING_SECONDS
    while True:
        found = starter_socket.connect(job.id, None)
        if found is not None or time.monotonic() > until:
            return found
        time.sleep(0.1)


def _continue_around(job: LsfJob, starter: socket.socket) -> None:
    """Continue what of the job is stopped, from res down, as far as it is the user's."""
    found = proc.stat(starter_socket.pid_of(starter))
    upward = map(proc.stat, job_processes.above(found)) if found is not None else ()
    around = [*filter(None, upward), *job_processes.of_job(job.id, os.getuid())]
    signals.send_all((each.id for each in around if each.state == "T"), signal.SIGCONT)


def _signal_all(job: LsfJob, number: int) -> None:
    signals.send_all((each.id for each in job_processes.of_job(job.id, os.getuid())), number)


def clean(
    owner: Owner, settings: Settings, environment: Mapping[str, str]
) -> tuple[str, list[int]]:
    """Delete the images of a job that has ended; gives it and the generations deleted.

    LastImageKept unless the job's starter has noted that it has ended for good, ImagesNeeded when
    another job was started from them, OutputKept when LSF does not deliver what lies beside them.

    A job that was never checkpointed is fine.
    """
    if os.getuid() == 0:
        problem = "POST_EXEC runs as root here, and removes what a job's user names"
        usage = "POST_EXEC without PRE_POST_EXEC_USER"
        raise BadArguments(program="torqueckpt delete", problem=problem, usage=usage)
    job = calls.job_of(environment)
    try:
        with access.lineage_of(job, owner, settings) as (owner_store, lineage):
            newest, noted = lineage.newest_number(), journal.end_of(owner_store, job)
        how = noted.get("how")
        for_good = (journal.ENDED, journal.KILLED)
        if how in for_good and _says_limit(environment.get("LSB_JOBEXIT_INFO", "")):
            how = journal.LIMIT
        if newest and how not in for_good:
            raise LastImageKept(job=job, generation=newest, why=_WHY.get(str(how), _NOT_NOTED))
        gone = catalogue.delete(job, owner, settings, None, lambda *of: _others_need(job, *of))
    except (UnknownJob, StoreMissing):
        return job, []
    if noted.get("migrated"):
        raise OutputKept(job=job, directory=environment.get("LSB_CHKPNT_DIR", ""))
    return job, gone


def _says_limit(info: str) -> bool:
    """Whether LSF has ended the job for reasons of its own.

    Of memory limits, TERMINATE_WHEN and the like only this tells: the signals are bkill's.
    """
    name = info.rpartition(" ")[2]
    return name.startswith(_ENDED_BY_LSF) and name not in _ENDED_BY_A_USER


def _others_need(job: str, owner_store: OwnerStore, lineage: Lineage) -> str:
    """Why images stay of a job that has ended for good, as LSF says; "" when nobody needs them.

    LSF says nothing of a job that was started from them meanwhile, on this host or another.
    """
    going_on, live = claim.elsewhere(lineage.directory), lineage.live()
    if going_on is not None:
        return f"job {going_on.job} on {going_on.host} is being started from it"
    if live is not None and (live.job, live.host) != (job, os.uname().nodename):
        return f"job {live.job} on {live.host} was started from it"
    return ""
