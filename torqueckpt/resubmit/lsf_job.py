# SPDX-License-Identifier: MIT
"""Write the resume job of an LSF job, with #BSUB lines, and submit it with bsub."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable

from torqueckpt import paths, render, run
from torqueckpt.batch.lsf import bsub
from torqueckpt.batch.lsf.lsf_conf import Site
from torqueckpt.errors import NotSubmitted, PerhapsSubmitted, ProgramMissing
from torqueckpt.identity import Owner
from torqueckpt.log import one_line
from torqueckpt.manifest import Manifest
from torqueckpt.settings import Settings
from torqueckpt.store import access, journal

_BSUB_SECONDS = 120


def text(
    manifest: Manifest,
    job: str,
    settings: Settings,
    generation: int | None,
    options: tuple[str, ...] = (),
) -> str:
    """The script that goes on from the image; `job` is how the user named it.

    options are more words for `torqueckpt resume`.
    """
    host = "" if settings.store_shared else manifest.host
    remarks = []
    if host:
        remarks.append(f"The image lies on {one_line(host)} only, so the job is sent there.")
    wanted = bsub.resumed(manifest.job.directives, manifest.job.id, host)
    lines, dropped = bsub.lines(wanted)
    words = (*(("--generation", str(generation)) if generation else ()), *options)
    return render.render(
        "lsf/resume_job.sh.j2",
        {
            "directives": lines,
            "remarks": [*remarks, *(f"Left out, no line can hold it: {each}" for each in dropped)],
            "job": job,
            "which": f"generation {generation}" if generation else "its newest image",
            "program": str(paths.program("bin", "torqueckpt")),
            "options": "".join(f" {shlex.quote(word)}" for word in words),
        },
    )


def submit(
    script: str,
    named: str,
    manifest: Manifest,
    owner: Owner,
    settings: Settings,
    tell: Callable[[str], None],
) -> str:
    """Submit the script from where the old job was submitted; gives the new job's number.

    `tell` gets what else bsub says, as a site's esub may.  NotSubmitted, also for root, who submits
    no jobs; PerhapsSubmitted.
    """
    if os.getuid() == 0:
        raise NotSubmitted(job=named, reason="root submits no jobs; its user does")
    directory = Site().directory("LSF_BINDIR")
    program = shutil.which("bsub") or shutil.which("bsub", path=str(directory or "/nonexistent"))
    if program is None:
        raise NotSubmitted(job=named, reason="there is no bsub on the PATH, nor in LSF_BINDIR")
    where = manifest.job.submit_dir
    try:
        finished = run.run(
            [program],
            timeout_seconds=_BSUB_SECONDS,
            environment=dict(os.environ),
            directory=where if os.path.isdir(where) else os.getcwd(),
            stdin_text=script,
        )
    except ProgramMissing as problem:
        raise NotSubmitted(job=named, reason=str(problem)) from problem
    new, notices = bsub.submitted(finished.output)
    notices += [line.strip() for line in finished.stderr.splitlines() if line.strip()]
    if finished.status is None:
        reason = f"{program} did not end within {_BSUB_SECONDS} s"
        raise PerhapsSubmitted(job=named, reason=reason)
    if not finished.ok and not new:
        reason = notices[-1] if notices else f"{program} ended with {finished.status}"
        raise NotSubmitted(job=named, reason=one_line(reason))
    for line in notices:
        tell(one_line(line))
    if not new:
        raise PerhapsSubmitted(job=named, reason=f"{program} named no job")
    with access.lineage_of(named, owner, settings) as (owner_store, _):
        journal.note(
            owner_store, "submit", manifest.job.id, generation=manifest.generation, resume_job=new
        )
    return new
