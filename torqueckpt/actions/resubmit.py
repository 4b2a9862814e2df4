# SPDX-License-Identifier: MIT
"""Submitting the resume job for the user, in the old job's place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace

from torqueckpt import log, run
from torqueckpt.actions import catalogue
from torqueckpt.actions.resume_job import Image
from torqueckpt.batch import asked
from torqueckpt.batch.server import connect
from torqueckpt.errors import InvalidJobId, NotSubmitted, ProgramMissing, TorqueCkptError
from torqueckpt.identity import Owner, job_id
from torqueckpt.manifest import Manifest
from torqueckpt.settings import Settings
from torqueckpt.store import journal

_ANSWER_SECONDS = 20
_QSUB_SECONDS = 120


def as_known(image: Image, settings: Settings) -> Image:
    """The image with what the server knows the job asked for, when it still knows the job.

    Ids come again after a server's reset, so owner and time must fit too.
    """
    job = image.made.job
    try:
        with connect(settings, timeout_seconds=_ANSWER_SECONDS) as pbs:
            known = pbs.job(job.id, ended=True)
    except (TorqueCkptError, ImportError) as unknown:  # cffi is not on every node
        log.info(f"{job.id}: asked for as kept beside its image: {unknown}")
        return image
    created = known.text("ctime")
    fits = created.isdigit() and int(created) <= job.start + 1 and known.owner == job.owner
    return replace(image, asked=asked.of_server(known)) if fits else image


def submit(
    text: str,
    named: str,
    made: Manifest,
    who: Owner,
    settings: Settings,
    tell: Callable[[str], None],
) -> str:
    """qsub the script from where the old job was submitted; gives the new job's id.

    Jobs of the owner's that wait for the old one wait for the new one then; `tell` gets a line for
    each.
    """
    new, old = qsub(text, named, made), {named, made.job.id}
    with catalogue.lineage_of(named, who, settings) as (mine, _):
        journal.note(mine, "submit", made.job.id, generation=made.generation, resume_job=new)
    try:
        with connect(settings, timeout_seconds=_ANSWER_SECONDS) as pbs:
            for job in pbs.jobs(["Job_Owner", "depend", "job_state"]):
                if job.id in old and job.state == "R":
                    tell(f"{job.id} counts as running; if its node is dead: qdel -p {job.id}")
                depend = asked.moved(job.text("depend"), old, new)
                if job.owner == who.name and job.state in "HQW" and depend != job.text("depend"):
                    pbs.alter(job.id, {"depend": depend})
                    tell(f"{job.id}: waits for {new} now: {depend}")
    except (TorqueCkptError, ImportError) as refusal:
        tell(f"{new} is submitted; what waits for {named} was not moved to it: {refusal}")
    return new


def qsub(text: str, named: str, made: Manifest) -> str:
    """The new id; root submits no jobs."""
    if os.getuid() == 0:
        raise NotSubmitted(job=named, reason="root submits no jobs; its user does")
    program = shutil.which("qsub")
    if program is None:
        raise NotSubmitted(job=named, reason="there is no qsub on the PATH")
    there = made.job.submit_dir
    try:
        finished = run.run(
            [program],
            timeout_seconds=_QSUB_SECONDS,
            environment=dict(os.environ),
            directory=there if os.path.isdir(there) else os.getcwd(),
            stdin_text=text,
        )
        if not finished.ok:
            reason = finished.last_line() or f"{program} ended with {finished.status}"
            raise NotSubmitted(job=named, reason=reason)
        return job_id(finished.output.strip())
    except (ProgramMissing, InvalidJobId) as problem:
        raise NotSubmitted(job=named, reason=str(problem)) from problem
