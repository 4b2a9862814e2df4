# SPDX-License-Identifier: MIT
"""The commands resume and resume-job: going on with a job, or with members of an array."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from torqueckpt import settings
from torqueckpt.batch.lsf import bjobs
from torqueckpt.batch.server import connect
from torqueckpt.cli import ownership, tables
from torqueckpt.errors import NeedsRoot, NotInAJob, WouldNotRestart
from torqueckpt.files import relocate
from torqueckpt.identity import Owner, job_id
from torqueckpt.log import one_line
from torqueckpt.process import job_processes
from torqueckpt.request import RestartRequest
from torqueckpt.restart import choose, door
from torqueckpt.restart.choose import StepProgress
from torqueckpt.restart.rehearse import Rehearsal, rehearse
from torqueckpt.resubmit import array_job, lsf_job, resubmit, resume_script
from torqueckpt.resubmit.array_job import FAILED, FINISHED, GOES_ON, UNKNOWN, Array
from torqueckpt.resubmit.resume_script import ResumeSource
from torqueckpt.settings import Settings
from torqueckpt.store import access, journal

Chosen = tuple[Array, list[int]]


_accept = click.option(
    "--accept-changed-files",
    "accept_changed",
    is_flag=True,
    help="Go on with files that were changed by somebody else since the image.",
)

_relocate = click.option(
    "--relocate",
    "moves",
    metavar="OLD=NEW",
    multiple=True,
    help="What lay in OLD lies in NEW now (absolute paths; may be repeated).",
)


def chosen_members(
    array: str, failed: bool, members: str | None, owner: Owner, settings: Settings
) -> Chosen:
    """Choose which members of the array are to go on; gives the array too."""
    if failed == (members is not None):
        raise click.UsageError("an array needs one of --failed and --members")
    if members is not None:
        try:
            indices = array_job.parse(members)
        except ValueError as slip:
            raise click.BadParameter(str(slip), param_hint="--members") from slip
        return array_job.named(indices, array, owner, settings), indices
    with connect(settings) as pbs:
        found = array_job.look(array, owner, settings, pbs)
    indices = [index for index in found.those(FAILED) if index in found.with_image]
    without = sorted(set(found.those(FAILED)) - found.with_image)
    for told, which in (
        ("go on", indices),
        ("failed without an image, submit them anew", without),
        ("finished", found.those(FINISHED)),
        ("run or wait", found.those(GOES_ON)),
        ("forgotten by the server, name them with --members", found.those(UNKNOWN)),
    ):
        if which:
            click.echo(f"{len(which)} {told}: {','.join(map(str, which))}", err=True)
    return found, indices


def submit_array(
    text: str, members: Chosen, image: ResumeSource, owner: Owner, settings: Settings
) -> str:
    """Submit the new array and note in the journal which job each member became; gives its id."""
    found, indices = members
    new = resubmit.qsub(text, found.name, image.manifest.job.submit_dir, tell=_tell)
    for number, index in enumerate(indices):
        job = array_job.member(found.name, index)
        became = array_job.member(new, number if found.openpbs else index)
        with access.lineage_of(job, owner, settings) as (owner_store, _):
            journal.note(owner_store, "submit", job, resume_job=became)
    return new


@click.command("resume-job")
@click.argument("job")
@click.option("-o", "out", metavar="FILE", type=click.Path(path_type=Path), help="Not to stdout.")
@click.option("--generation", type=click.IntRange(min=1), help="An older image than the newest.")
@click.option("--user", metavar="USER", help="Whose job it is (root).")
@click.option("--submit", is_flag=True, help="Submit it too; prints the new id, as qsub does.")
@click.option("--failed", is_flag=True, help="Of an array 12[].server: those not finished.")
@click.option("--members", metavar="LIST", help="Of an array: these, as in 3,7-9.")
@_accept
@_relocate
def resume_job_command(
    job: str,
    out: Path | None,
    generation: int | None,
    user: str | None,
    submit: bool,
    failed: bool,
    members: str | None,
    accept_changed: bool,
    moves: tuple[str, ...],
) -> None:
    """Write the script that goes on with JOB as a new job.

    It asks for what JOB asked for: its queue, resources, account, mail and output, from the server
    while that knows the job.  --submit also has the jobs that wait for JOB wait for the new one.
    For a job of LSF it has #BSUB lines: bsub < resume_job.sh.

    \b
    torqueckpt resume-job 12.node1 -o resume_job.sh
    qsub resume_job.sh
    torqueckpt resume-job 12.node1 --submit
    torqueckpt resume-job '12[].server' --failed --submit
    """
    chosen = settings.load()
    named = ownership.job_or_lineage(job)
    owner = ownership.owner_of(named, chosen, user)
    options = ["--accept-changed-files"] if accept_changed else []
    for old, new in _moves(moves):
        options += ["--relocate", f"{old}={new}"]
    if array_job.is_array(named) or failed or members is not None:
        if generation is not None or not array_job.is_array(named):
            raise click.UsageError("--failed and --members are for arrays, --generation is not")
        chosen_ones = chosen_members(named, failed, members, owner, chosen)
        text, image = array_job.text(*chosen_ones, owner, chosen, tuple(options))
        if submit:
            click.echo(submit_array(text, chosen_ones, image, owner, chosen))
            return
    else:
        image = resume_script.image_of(named, owner, chosen, generation)
        if bjobs.is_lsfs(image.manifest.job.id):
            text = lsf_job.text(image.manifest, named, chosen, generation, tuple(options))
            if submit:
                click.echo(lsf_job.submit(text, named, image.manifest, owner, chosen, _tell))
                return
        else:
            image = resubmit.as_known(image, chosen)
            text = resume_script.text(image, named, chosen, generation, tuple(options))
            if submit:
                click.echo(resubmit.submit(text, named, image.manifest, owner, chosen, _tell))
                return
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        out.write_text(text)
        out.chmod(0o755)
    except OSError as problem:
        raise click.FileError(str(out), problem.strerror) from problem


@click.command("resume")
@click.argument("job")
@click.option("--generation", type=click.IntRange(min=1), help="An older image than the newest.")
@click.option("--force", is_flag=True, help="Although another node may still run it.")
@click.option("--rehearse", is_flag=True, help="Only tell whether it would work here, now.")
@click.option("--json", "as_json", is_flag=True, help="With --rehearse: for programs.")
@_accept
@_relocate
def resume_command(
    job: str,
    generation: int | None,
    force: bool,
    rehearse: bool,
    as_json: bool,
    accept_changed: bool,
    moves: tuple[str, ...],
) -> None:
    """Go on with JOB inside a new batch job, as its owner; resume_job.sh calls this.

    --rehearse makes the same checks on this node, outside of any job, and changes nothing.

    \b
    torqueckpt resume 12.node1
    torqueckpt resume 12.node1 --generation 3 --relocate /scratch/old=/scratch/new
    torqueckpt resume --rehearse 12.node1
    """
    named = ownership.job_or_lineage(job)
    if rehearse:
        request = RestartRequest(
            *(named, "", generation),
            force=force,
            accept_changed=accept_changed,
            moves=_moves(moves),
        )
        show(request, settings.load(), as_json)
        return
    present = job_processes.job_in(os.environ)
    if not present:
        raise NotInAJob(job=named)
    if os.getuid() == 0:
        raise NeedsRoot(what="resume", remedy="no: it is for the job's owner, inside a batch job")
    request = RestartRequest(
        job_id=named,
        present_job=job_id(present),
        generation=generation,
        force=force,
        accept_changed=accept_changed,
        moves=_moves(moves),
    )
    door.resume(request, settings.load(), _progress())


def _progress() -> StepProgress:
    """Draw progress bars for somebody at a terminal, and nothing anywhere else."""
    if not sys.stderr.isatty():
        return choose.no_progress
    from torqueckpt.cli import progress  # rich is slow to import

    return progress.shown


def _tell(line: str) -> None:
    click.echo(line, err=True)


def _moves(items: tuple[str, ...]) -> relocate.Moves:
    try:
        return relocate.parse(items)
    except ValueError as slip:
        raise click.BadParameter(str(slip), param_hint="--relocate") from slip


def show(request: RestartRequest, settings: Settings, as_json: bool) -> None:
    """Print a row for each check; WouldNotRestart when one stands in the way."""
    owner = ownership.owner_of(request.job_id, settings, None)
    found = rehearse(request, owner, settings, os.getuid() == 0, _progress())
    if as_json:
        click.echo(json.dumps(_facts(found), indent=1))
    else:
        table = tables.table("", "looked at", "found")
        for each in found.findings:
            table.add_row(each.severity, each.subject, one_line(each.what))
        tables.show(table)
    if found.refused:
        raise WouldNotRestart(job=found.job, host=found.host, count=found.refused)


def _facts(found: Rehearsal) -> dict[str, object]:
    return {
        "job": found.job,
        "host": found.host,
        "generation": found.generation,
        "would_restart": not found.refused,
        "findings": [
            {"severity": each.severity, "subject": each.subject, "what": each.what}
            for each in found.findings
        ],
    }


COMMANDS = (resume_job_command, resume_command)
