# SPDX-License-Identifier: MIT
"""rootdoor: the one program that users run as root, through sudo.

    sudo rootdoor restore LINEAGE GENERATION JOB <LINEAGE/lock

What it believes: SUDO_UID, which sudo sets; the signature key.  What it checks: every argument
against a strict pattern, that the image is of that user and was signed by root, that the caller
holds the lineage's lock (handed over as descriptor 0).  All files are touched, and the checkpointer
is run, as that user.  In the end it is the user's process, waiting for his job.
"""

from __future__ import annotations

import fcntl
import os

from torqueckpt import settings
from torqueckpt.actions import catalogue
from torqueckpt.actions.restart import refuse_if_running, restore
from torqueckpt.errors import OWN_FAILURE, BadArguments, Busy, ForeignImage, NeedsRoot
from torqueckpt.files import intent
from torqueckpt.hooks import door
from torqueckpt.identity import is_lineage_name, job_id
from torqueckpt.process import become
from torqueckpt.request import RestartRequest
from torqueckpt.store import key

_USAGE = "rootdoor restore LINEAGE GENERATION JOB, through sudo, the lineage's lock as stdin"


def main(argv: list[str]) -> int:
    return door.run("rootdoor", lambda: _open(argv), own_failure=OWN_FAILURE)


def _open(argv: list[str]) -> int:
    if os.getuid() != 0:
        raise NeedsRoot(what="rootdoor", remedy="`torqueckpt resume` calls it through sudo")
    caller = os.environ.get("SUDO_UID", "")
    os.environ.clear()
    if len(argv) != 4 or argv[0] != "restore":
        raise _refused("not a call that it knows")
    _, lineage_name, number, present_job = argv
    if not is_lineage_name(lineage_name):
        raise _refused(f"{lineage_name!r} is no lineage")
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise _refused(f"{number!r} is no generation")
    if not (caller.isascii() and caller.isdigit() and int(caller) > 0):
        raise _refused("no ordinary user called it through sudo")
    who = become.owner_of_uid(int(caller))
    return _restore(who.name, lineage_name, int(number), job_id(present_job))


def _restore(user: str, lineage_name: str, number: int, present_job: str) -> int:
    chosen = settings.load()
    secret = key.read(chosen.key())
    who = become.owner(user)
    with catalogue.lineage_of(lineage_name, who, chosen) as (mine, lineage):
        if not lineage.holds_lock(0):
            raise Busy(job=lineage.first_job, seconds=0)
        lock = _off_stdin()
        try:
            # Whether a job on another node is over, its owner has decided before he came here.
            asked = RestartRequest(lineage.first_job, present_job, force=True)
            refuse_if_running(lineage.live(), asked)
            made = lineage.generation(number).manifest(secret)
            if made.job.uid != who.uid or made.lineage != lineage.name:
                raise ForeignImage(
                    path=lineage.path, owner=made.job.owner, uid=made.job.uid, caller=user
                )
            return restore(mine, lineage, made, who, lock, chosen)
        except BaseException:
            if os.getuid() == 0:  # not once the job has run
                intent.settle(lineage.directory, lineage.live())
            raise


def _off_stdin() -> int:
    """The lock under a number that is free to be inherited; stdin becomes /dev/null."""
    lock = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 10)
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return lock


def _refused(problem: str) -> BadArguments:
    return BadArguments(program="rootdoor", problem=problem, usage=_USAGE)
