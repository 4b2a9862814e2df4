# SPDX-License-Identifier: MIT
"""Submit the resume job for the user, in the old job's place."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Sequence

from torqueckpt import log, run
from torqueckpt.batch import directives, qsub_options
from torqueckpt.batch.server import Server, can_alter, connect
from torqueckpt.errors import NotSubmitted, PerhapsSubmitted, ProgramMissing, TorqueCkptError
from torqueckpt.identity import Owner, is_job_id
from torqueckpt.manifest import Manifest
from torqueckpt.resubmit.resume_script import ResumeSource
from torqueckpt.run import Finished
from torqueckpt.settings import Settings
from torqueckpt.store import access, journal

Tell = Callable[[str], None]

ANSWER_SECONDS = 20
_LETTER = re.compile("[A-Za-z]")
_QSUB_SECONDS = 120


def as_known(image: ResumeSource, settings: Settings) -> ResumeSource:
    """The image with what the server says that the job asked for, if it still knows the job.

    Ids come again after a server's reset, so owner and time must fit too.
    """
    job = image.manifest.job
    try:
        with connect(settings, timeout_seconds=ANSWER_SECONDS) as pbs:
            known = pbs.job(job.id, ended=True)
    except TorqueCkptError as unknown:
        log.info(f"{job.id}: its options are those kept with its image: {unknown}")
        return image
    created = known.text("ctime")
    fits = created.isdigit() and int(created) <= job.start + 1 and known.owner == job.owner
    return image._replace(asked=qsub_options.of_server(known, image.script)) if fits else image


def submit(
    text: str,
    named: str,
    manifest: Manifest,
    owner: Owner,
    settings: Settings,
    tell: Tell,
    held: bool = False,
) -> str:
    """Submit the script from where the old job was submitted; gives the new job's id.

    held: on hold, as the old one still runs.  Jobs of the owner's that wait for the old one wait
    for the new one then; `tell` gets a line for each.
    """
    words = ("-h",) if held else ()
    new, old = qsub(text, named, manifest.job.submit_dir, words, tell), {named, manifest.job.id}
    with access.lineage_of(named, owner, settings) as (owner_store, _):
        journal.note(
            owner_store, "submit", manifest.job.id, generation=manifest.generation, resume_job=new
        )
    try:
        with connect(settings, timeout_seconds=ANSWER_SECONDS) as pbs:
            for job in pbs.jobs(["Job_Owner", "job_state"]):
                if job.id in old and job.runs and not held:
                    tell(f"{job.id} counts as running; if its node is dead: qdel -p {job.id}")
            move_waiting(pbs, owner.name, old, new, tell)
    except TorqueCkptError as refusal:
        tell(f"{new} is submitted; what waits for {named} was not moved to it: {refusal}")
    return new


def move_waiting(pbs: Server, user: str, old: set[str], new: str, tell: Tell) -> None:
    """Have the user's jobs that wait for one of `old` wait for `new`."""
    for job in pbs.jobs(["Job_Owner", "depend", "job_state"]):
        depend = qsub_options.moved(job.text("depend"), old, new)
        own = job.owner == user and job.is_in_queue and job.id != new
        if own and depend != job.text("depend") and can_alter(pbs, job):
            pbs.alter(job.id, {"depend": depend})
            tell(f"{job.id}: waits for {new} now: {depend}")


def qsub(
    text: str, named: str, directory: str, words: Sequence[str] = (), tell: Tell = log.info
) -> str:
    """Call qsub, the text being its script unless the words name one; gives the job's id.

    `tell` gets what else it says, as a site's qsub may.  NotSubmitted, also for root, who submits
    no jobs; PerhapsSubmitted.
    """
    if os.getuid() == 0:
        raise NotSubmitted(job=named, reason="root submits no jobs; its user does")
    # In a job PATH need not have it, but what its submitter had does; and a job that this one
    # submits is to find it there again.
    where = ":".join(filter(None, map(os.environ.get, ("PBS_O_PATH", "PATH"))))
    environment = {**os.environ, "PATH": where} if "PBS_O_PATH" in os.environ else dict(os.environ)
    program = shutil.which("qsub", path=where)
    if program is None:
        raise NotSubmitted(job=named, reason="there is no qsub on the PATH")
    ours = ("-C", directives.PREFIX) if text and "PBS_DPREFIX" in os.environ else ()
    try:
        finished = run.run(
            [program, *ours, *words],
            timeout_seconds=_QSUB_SECONDS,
            environment=environment,
            directory=directory if os.path.isdir(directory) else os.getcwd(),
            stdin_text=text,
            alone=True,  # OpenPBS's leaves one behind that would wait for the next
        )
    except ProgramMissing as problem:
        raise NotSubmitted(job=named, reason=str(problem)) from problem
    new, notices = _said(finished)
    for line in notices if finished.ok else notices[:-1]:
        tell(log.one_line(line))
    if finished.ok and new:
        return new
    if finished.ok:
        raise PerhapsSubmitted(job=named, reason=f"{program} named no job")
    reason = notices[-1] if notices else f"{program} ended with {finished.status}"
    if finished.status is None:
        reason = f"{program} did not end within {_QSUB_SECONDS} s"
    elif new:
        reason = f"{reason} ({program} named {new})"
    else:
        raise NotSubmitted(job=named, reason=reason)
    raise PerhapsSubmitted(job=named, reason=reason)


def _said(finished: Finished) -> tuple[str, list[str]]:
    """The job's id, "" without one, and all other lines that qsub printed, those on stderr last.

    The id is the last line that is one; a bare number may be something else.
    """
    lines = [line.strip() for line in finished.output.splitlines() if line.strip()]
    ids = [line for line in lines if is_job_id(line)]
    new = next((each for each in reversed(ids) if _LETTER.search(each)), ids[-1] if ids else "")
    others = [line.strip() for line in finished.stderr.splitlines() if line.strip()]
    if new:
        del lines[len(lines) - 1 - lines[::-1].index(new)]
    return new, [*lines, *others]
