# SPDX-License-Identifier: MIT
"""Hold a running job without its server's hold: an image, a resume job on hold, the job's end.

In this order the job runs on whatever fails: it ends once its image is safe and the job that goes
on from it waits at the server.  What it does in between is done again, as after a crash.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress

from torqueckpt import log
from torqueckpt.batch import checkpoint_spec
from torqueckpt.batch.server import Afresh
from torqueckpt.errors import CheckpointRefused, NotSubmitted, TorqueCkptError
from torqueckpt.identity import Owner
from torqueckpt.ifl.errors import UNCLEAR
from torqueckpt.ifl.records import Job
from torqueckpt.resubmit import resubmit, resume_script
from torqueckpt.settings import Settings
from torqueckpt.store import access, journal

ASKED_FOR = ("Job_Owner", "job_state", "exec_host", "Checkpoint", "euser", "comment")
_QUIET_SECONDS = 60  # a MOM that was asked for a checkpoint, and does nothing
_PATIENCE_SECONDS = 5
_ENDS_SECONDS = 60
_LOOK_SECONDS = 0.2
_LONGEST = 300  # characters of a reason: the journal is its owner's


def hold(
    name: str, owner: Owner, settings: Settings, server: Afresh, tell: Callable[[str], None]
) -> str:
    """Hold the job; gives the id of its resume job, which qrls starts.  As the job's owner."""
    _refuse_root(name)
    job = server.job(name, ASKED_FOR)
    why = _cannot(job, settings)
    if why:
        raise _not_held(name, why)
    generation = _take_image(job, owner, settings, server, tell)
    image = resubmit.as_known(resume_script.image_of(name, owner, settings, generation), settings)
    text = resume_script.text(image, name, settings, None)
    new = resubmit.submit(text, name, image.manifest, owner, settings, tell, held=True)
    if _end(job, server):
        tell(f"{name} has ended with image {generation}; {new} goes on from it after: qrls {new}")
    else:
        tell(f"{name} does not end; {new} goes on from image {generation} after: qdel {name}")
    return new


def _refuse_root(name: str) -> None:
    if os.getuid() == 0:
        raise NotSubmitted(job=name, reason="root submits no jobs; its user does")


def noted(job: Job, owner: Owner, since: int, settings: Settings) -> tuple[dict[str, object], bool]:
    """The journal's last line on the job since then, and whether its lineage is locked."""
    told, busy = dict[str, object](), False
    with access.lineage_if_any(job.id, owner, settings) as found:
        if found is not None:
            owner_store, lineage = found
            told, busy = journal.last(owner_store, "job", job.id), lineage.is_locked()
    when = told.get("time")
    return (told if isinstance(when, int) and when >= since else {}), busy


def _cannot(job: Job, settings: Settings) -> str:
    """Why the job is not tried at all; "" when it is."""
    if not job.runs:
        return f"it does not run (state {job.state}); one that waits is held with qhold"
    if len(job.hosts) > 1:
        return f"it runs on {len(job.hosts)} nodes"
    if not checkpoint_spec.parse(job.checkpoint or "u").checkpointable:
        return f"it was submitted with -c {job.checkpoint}; its server takes no image of it"
    host = job.hosts[0] if job.hosts else ""
    here = host.partition(".")[0] == os.uname().nodename.partition(".")[0]
    return "" if here or settings.store_shared else f"its images lie on {host}: hold it there"


def _take_image(
    job: Job, owner: Owner, settings: Settings, server: Afresh, tell: Callable[[str], None]
) -> int:
    """Have MOM take an image; gives its number once it is whole.

    Whatever the server says, the journal tells: it may say that there is no such job (TRQ-4388).
    """
    began = int(time.time())
    try:
        server.checkpoint(job.id)
    except UNCLEAR as silence:
        log.info(f"{job.id}: whether MOM takes an image the server does not say: {silence}")
    except TorqueCkptError as refusal:
        raise _not_held(job.id, f"its server refuses a checkpoint: {refusal}") from refusal
    quiet = settings.dump_wait_seconds + _QUIET_SECONDS  # for its turn on the node, too
    limit = settings.lock_timeout_seconds + settings.dump_timeout_seconds + quiet
    asked, told_so = time.monotonic(), False
    while True:
        now = _now(job, server)  # before the journal, which is written first
        told, busy = noted(job, owner, began, settings)
        number = told.get("generation")
        if told.get("event") == "checkpoint" and type(number) is int:
            return number
        if told.get("event") == "checkpoint-failed":
            raise _not_held(job.id, str(told.get("reason", "its checkpoint failed"))[:_LONGEST])
        if now.has_ended:
            raise _not_held(job.id, "it ended meanwhile")
        if now.comment != job.comment and not busy:  # MOM makes one of a call that failed early
            raise _not_held(job.id, now.comment[:_LONGEST])
        if not busy and time.monotonic() > asked + quiet:
            raise _not_held(job.id, "its MOM takes no checkpoint")
        if not told_so and time.monotonic() > asked + _PATIENCE_SECONDS:
            tell(f"{job.id}: its image is waited for; it runs on until then")
            told_so = True
        if time.monotonic() > asked + limit:
            raise _not_held(job.id, f"no image of it within {limit} s")
        time.sleep(_LOOK_SECONDS)


def _now(job: Job, server: Afresh) -> Job:
    """The job as the server knows it now; as it was, while that is busy asking its MOM."""
    try:
        return server.job(job.id, ["job_state", "comment"])
    except TorqueCkptError:
        return job


def _end(job: Job, server: Afresh) -> bool:
    """End the job at once, as a hold does: nothing of it may tidy up; whether it has ended."""
    for kill in (True, False):
        try:
            server.signal(job.id, "SIGKILL") if kill else server.delete(job.id)
        except TorqueCkptError as refusal:  # it has ended, perhaps, which is looked at
            log.info(f"{job.id}: {refusal}")
        until = time.monotonic() + _ENDS_SECONDS / 2
        while time.monotonic() < until:
            with suppress(TorqueCkptError):
                if not server.job_runs(job.id):
                    return True
            time.sleep(_LOOK_SECONDS)
    return False


def _not_held(job: str, why: str) -> CheckpointRefused:
    return CheckpointRefused(reason=f"job {job} is not held: {why}; it is as it was")
