# SPDX-License-Identifier: MIT
"""Commands about jobs that run: run, checkpoint, hold, release, resume-job, resume."""

from __future__ import annotations

import os
from pathlib import Path

import click

from torqueckpt import paths, settings
from torqueckpt.batch.local import control, mom, submission
from torqueckpt.batch.local.site import Site
from torqueckpt.batch.local.spool import Spool
from torqueckpt.cli import ownership, resume, waiting, watch
from torqueckpt.cli import rehearse as rehearsal
from torqueckpt.errors import CheckpointRefused, NeedsRoot, NotInAJob
from torqueckpt.files import relocate
from torqueckpt.identity import Owner, job_id
from torqueckpt.process import job_processes, privileges
from torqueckpt.reports import interval
from torqueckpt.request import RestartRequest
from torqueckpt.restart import resuming
from torqueckpt.resubmit import array_job, resubmit, resume_script

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


@click.command("run", context_settings={"ignore_unknown_options": True})
@click.option("-c", "spec", metavar="SPEC", default="", help="qsub's -c, or auto; c=5s: 5 seconds.")
@click.option("-N", "name", metavar="NAME", default="", help="The job's name.")
@click.option("-o", "out", metavar="PATH", default="", help="Where stdout goes at the end.")
@click.option("-e", "err", metavar="PATH", default="", help="Where stderr goes at the end.")
@click.option("-j", "join", metavar="oe", default="", help="oe: stderr joins stdout.")
@click.option("-l", "limits", metavar="walltime=TIME", default="", help="It is ended then.")
@click.option("-v", "variables", metavar="VARS", default="", help="NAME=VALUE,… for the job.")
@click.option("--user", metavar="USER", help="Whose job it is; you, under sudo.")
@click.argument("script", type=click.Path(path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run_command(
    spec: str,
    name: str,
    out: str,
    err: str,
    join: str,
    limits: str,
    variables: str,
    user: str | None,
    script: Path,
    arguments: tuple[str, ...],
) -> int:
    """Run SCRIPT as a batch job on this machine, checkpointed as -c asks; play its MOM.

    \b
    sudo torqueckpt run -c c=1 run_job.sh
    sudo torqueckpt run --user alice -c c=10,depth=2 -o out.txt run_job.sh arg
    sudo torqueckpt run -l walltime=1:00:00 -v TORQUECKPT_CHAIN=1 run_job.sh
    """
    chosen = settings.load()
    owner = _job_owner(user)
    options = {"c": spec, "N": name, "o": out, "e": err, "j": join, "l": limits, "v": variables}
    with watch.Display(owner, chosen) as display:
        return mom.submit(
            submission.build(Path.cwd() / script, arguments, owner, options),
            Spool(chosen.local_home),
            Site(
                checkpoint_program=paths.program("sbin", "mom-checkpoint"),
                restart_program=paths.program("sbin", "mom-restart"),
                run_program=paths.program("sbin", "mom-run"),
                default_interval_seconds=chosen.interval_minutes * 60,
                jitter_seconds=chosen.jitter_seconds,
                max_frozen_percent=chosen.max_frozen_percent,
                chain_margin_seconds=chosen.chain_margin_seconds,
                rate=interval.rate_of(owner, chosen)[0],
            ),
            display.update,
            display.started,
        )


@click.command("checkpoint")
@click.argument("job")
def checkpoint_command(job: str) -> None:
    """Take an image of a running JOB of `torqueckpt run`; the job goes on.

    \b
    torqueckpt checkpoint 12.node1
    """
    _ask(job, "checkpoint")


@click.command("hold")
@click.argument("job")
def hold_command(job: str) -> None:
    """Take an image of a running JOB and end its processes; `release` lets it go on.

    \b
    torqueckpt hold 12.node1
    """
    _ask(job, "hold")


@click.command("release")
@click.argument("job")
def release_command(job: str) -> None:
    """Restart a held JOB in place, from its image.

    \b
    torqueckpt release 12.node1
    """
    _ask(job, "release")


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
        chosen_ones = resume.chosen(named, failed, members, owner, chosen)
        text, image = array_job.text(*chosen_ones, owner, chosen, tuple(options))
        if submit:
            click.echo(resume.submit(text, chosen_ones, image, owner, chosen))
            return
    else:
        image = resume_script.image_of(named, owner, chosen, generation)
        image = resubmit.as_known(image, chosen)
        text = resume_script.text(image, named, chosen, generation, tuple(options))
        if submit:
            click.echo(resubmit.submit(text, named, image.made, owner, chosen, _tell))
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
        rehearsal.show(request, settings.load(), as_json)
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
    resuming.resume(request, settings.load(), waiting.phase(), waiting.leaving())


def _tell(line: str) -> None:
    click.echo(line, err=True)


def _moves(items: tuple[str, ...]) -> relocate.Moves:
    try:
        return relocate.parse(items)
    except ValueError as slip:
        raise click.BadParameter(str(slip), param_hint="--relocate") from slip


def _ask(job: str, verb: str) -> None:
    from torqueckpt.cli import progress  # rich is slow to import

    chosen = settings.load()
    with progress.of_the_image(f"{verb} {job}", job_id(job), chosen):
        answer = control.ask(Spool(chosen.local_home).socket(job_id(job)), verb, job)
    if answer.exit_code:
        raise CheckpointRefused(reason=answer.message or f"job {job}: its MOM gave no reason")


def _job_owner(user: str | None) -> Owner:
    if os.getuid() != 0:
        remedy = "it plays MOM, so: sudo torqueckpt run … (without root: ask your administrator)"
        raise NeedsRoot(what="torqueckpt run", remedy=remedy)
    name = user or os.environ.get("SUDO_USER", "root")
    owner = privileges.owner(name)
    if owner.uid == 0:
        raise click.UsageError("root runs no jobs, as at qsub: name the job's user with --user")
    return owner


COMMANDS = (
    run_command,
    checkpoint_command,
    hold_command,
    release_command,
    resume_job_command,
    resume_command,
)
