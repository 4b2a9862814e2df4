# SPDX-License-Identifier: MIT
"""Have a process dumped, by root or through rootdoor, and go on from the image."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

from torqueckpt import layout, paths
from torqueckpt.checkpoint import checkpoint
from torqueckpt.errors import CheckpointRefused, DumpFailed, SessionGone
from torqueckpt.identity import ImageRef, Owner
from torqueckpt.process import job_processes, privileges, proc, system_calls
from torqueckpt.restart import door
from torqueckpt.settings import Settings


def dump(pid: int, end: bool, place: Path, settings: Settings) -> ImageRef:
    """Dump the tree below `pid`: as root anybody's, as a user one's own.

    CRIU does it, whatever the settings say: chkpnt and cr_checkpoint may be what they say.
    """
    job = _job(pid, place, settings)
    if os.getuid() == 0:
        by_criu = settings._replace(checkpointer="criu")
        return checkpoint.checkpoint_process(pid, job, end, None, by_criu)
    try:
        return door.dump("dump", pid, end, job, settings)
    except CheckpointRefused as refused:  # the door's words, which may be the same already
        before, _, after = str(DumpFailed(job=job, reason="…")).partition("…")
        reason = str(refused).removeprefix(before).removesuffix(after)
        raise DumpFailed(job=job, reason=reason) from refused


def owner_of(pid: int) -> Owner:
    credentials = proc.credentials(pid)
    if credentials is None:
        raise SessionGone(sid=pid)
    return privileges.owner_of_uid(credentials.uids[0])


def owner_of_name(place: Path) -> Owner:
    """Whose image a name means: the caller's; for root, the owner of what it leads to."""
    return privileges.owner_of_uid(os.getuid() or os.stat(place).st_uid)


def image_path(found: ImageRef, user: str, settings: Settings) -> Path:
    return layout.of_image(settings.store, user, found.lineage, found.generation)


def resume(found: ImageRef, owner: Owner, *options: str) -> NoReturn:
    """Become `torqueckpt resume` of that generation, as the image's owner."""
    program = paths.program("bin", "torqueckpt")
    if os.getuid() == 0:
        system_calls.join_new_session_keyring()  # of root's login
        privileges.drop(owner)
    present = job_processes.job_in(os.environ) or f"{os.getpid()}.resume"
    words = ["resume", found.lineage, "--generation", str(found.generation), *options]
    os.execve(program, [str(program), *words], {**os.environ, "PBS_JOBID": present})


def _job(pid: int, place: Path, settings: Settings) -> str:
    """The batch job that the process says it belongs to, else an id of its own.

    One that is dumped into a directory of the store is dumped by one of our own programs, which
    holds the lock of the job's lineage: that gets an id of its own too.
    """
    inside = settings.store / layout.JOBS in place.parents
    return f"{pid}.chkpnt" if inside else checkpoint.job_of_process(pid)
