# SPDX-License-Identifier: MIT
"""rootdoor: the one program that users run as root, through sudo.

    sudo rootdoor restore LINEAGE GENERATION JOB <LINEAGE/lock
    sudo rootdoor checkpoint PID SIGNAL JOB   prints LINEAGE GENERATION; SIGNAL 15 ends the tree
    sudo rootdoor suspend PID SIGNAL JOB      the same, refused where it has connections to outside
    sudo rootdoor dump PID SIGNAL JOB         the same as checkpoint, by CRIU whatever the settings
    sudo rootdoor store                       makes the caller's own directory in the store
    sudo rootdoor knock                       does nothing: the caller gets through

What it believes: SUDO_UID, which sudo sets; the signature key.  What it checks: that the rights it
was started with are root's (rights/begin.py); every argument against a strict pattern; for a
restore that the image is of that user and was signed by root, and that the caller holds the
lineage's lock (handed over as descriptor 0); for a dump that all of the tree is that user's.  All
files are touched, and the checkpointer is run, as that user.  In the end it is the user's process,
waiting for his job.
"""

from __future__ import annotations

import fcntl
import os

from torqueckpt import settings
from torqueckpt.checkpoint import checkpoint
from torqueckpt.errors import OWN_FAILURE, BadArguments, Busy, ForeignImage
from torqueckpt.hooks import entry
from torqueckpt.identity import is_lineage_name, job_id
from torqueckpt.process import privileges
from torqueckpt.request import RestartRequest
from torqueckpt.restart import claiming
from torqueckpt.restart.plan import Prepared
from torqueckpt.restart.restart import failures_noted, restore, undo_unless_it_runs
from torqueckpt.store import access, key

_USAGE = (
    "rootdoor restore LINEAGE GENERATION JOB <lock, "
    "or rootdoor checkpoint|suspend|dump PID 0|15 JOB, or rootdoor store|knock, by sudo"
)
_DUMPS = ("checkpoint", "suspend", "dump")


def main(argv: list[str]) -> int:
    return entry.run_root_hook("rootdoor", lambda: _open(argv), OWN_FAILURE, from_users=True)


def _open(argv: list[str]) -> int:
    caller = os.environ.get("SUDO_UID", "")
    os.environ.clear()
    if not (caller.isascii() and caller.isdigit() and int(caller) > 0):
        raise _refused("no ordinary user called it through sudo")
    owner = privileges.owner_of_uid(int(caller))
    if len(argv) == 4 and argv[0] == "restore" and is_lineage_name(argv[1]):
        return _restore(owner.name, argv[1], _number(argv[2]), job_id(argv[3]))
    if len(argv) == 4 and argv[0] in _DUMPS and argv[2] in ("0", "15"):
        job = job_id(argv[3])
        # The others' image may be restored with names in MOM's own directories, of the job's files:
        # which job of a MOM's it is, only MOM says.
        if argv[0] == "dump" or "." not in job:
            return _dump(argv[0], owner.name, _number(argv[1]), argv[2] == "15", job)
    if argv == ["store"]:
        return _make_store(owner.name)
    if argv == ["knock"]:
        return 0
    raise _refused("not a call that it knows")


def _make_store(user: str) -> int:
    owner = privileges.owner(user)
    with privileges.acting_as(owner):
        access.open_store(settings.load()).owner(owner, make=True)
    return 0


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise _refused(f"{text!r} is no number")
    return int(text)


def _dump(verb: str, user: str, pid: int, end: bool, job: str) -> int:
    chosen = settings.load()
    if verb == "dump":  # the shims' own: they may be what the settings name
        chosen = chosen._replace(checkpointer="criu")
    refuse = verb == "suspend"
    image = checkpoint.checkpoint_process(pid, job, end, user, chosen, refuse_connections=refuse)
    print(image.lineage, image.generation)
    return 0


def _restore(user: str, lineage_name: str, number: int, present_job: str) -> int:
    chosen = settings.load()
    secret = key.read(chosen.key())
    owner = privileges.owner(user)
    found = access.lineage_of(lineage_name, owner, chosen)
    with found as (owner_store, lineage), failures_noted(owner_store, lineage):
        if not lineage.holds_lock(0):
            raise Busy(job=lineage.first_job, seconds=0)
        lock = _off_stdin()
        try:
            # Whether a job on another node has ended, its owner has decided before he came here.
            asked = RestartRequest(lineage.first_job, present_job, force=True)
            claiming.refuse_if_running(owner_store, lineage.live(), asked, chosen)
            manifest = lineage.generation(number).manifest(secret)
            if manifest.job.uid != owner.uid or manifest.lineage != lineage.name:
                raise ForeignImage(
                    path=lineage.path, owner=manifest.job.owner, uid=manifest.job.uid, caller=user
                )
            return restore(Prepared(owner_store, lineage, manifest, lock, owner, chosen))
        except BaseException:
            if os.getuid() == 0:  # not once the job has run
                undo_unless_it_runs(lineage)
            raise


def _off_stdin() -> int:
    """Move the lock from stdin to a number that can be inherited; stdin becomes /dev/null."""
    lock = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 10)
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return lock


def _refused(problem: str) -> BadArguments:
    return BadArguments(program="rootdoor", problem=problem, usage=_USAGE)
