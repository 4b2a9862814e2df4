# SPDX-License-Identifier: MIT
"""Commands about jobs that run: run, with its live line, checkpoint, hold, release."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

import click

from torqueckpt import log, paths, settings
from torqueckpt.batch.local import control, mom, options, submission
from torqueckpt.batch.local.site import Progress, Site
from torqueckpt.batch.local.spool import Spool
from torqueckpt.batch.server import Afresh
from torqueckpt.cli import ownership
from torqueckpt.errors import CheckpointRefused, NeedsRoot, TorqueCkptError
from torqueckpt.identity import Owner, job_id
from torqueckpt.ifl.errors import LibraryNotFound
from torqueckpt.images import catalogue
from torqueckpt.manifest import Directive
from torqueckpt.process import privileges
from torqueckpt.reports import interval
from torqueckpt.resubmit import hold
from torqueckpt.settings import Settings

# What shows how it went, of who asked for it and did not wait.
_AFTER = {
    "checkpoint": "torqueckpt list --job {job}",
    "hold": "torqueckpt held {job} && echo held",
    "release": "torqueckpt held {job} || echo released",
}
_STATES = {"R": "running", "H": "held", "E": "ending"}


_NOT_PLAYED = "Not played here: named on stderr."
_ALONE_SHOWN = {"V": "All variables of the environment.", "z": "The job's id is not printed."}
_SHOWN = {
    "c": ("SPEC", "qsub's -c, or auto; c=5s: 5 seconds."),
    "N": ("NAME", "The job's name."),
    "o": ("PATH", "Where stdout goes at the end; $PBS_JOBID and the like are replaced."),
    "e": ("PATH", "Where stderr goes at the end."),
    "j": ("oe|eo|n", "oe: stderr joins stdout; eo: stdout joins stderr."),
    "k": ("o|e|oe", "These go to the user's home, by their usual names."),
    "l": ("LIST", "walltime=TIME: it is ended then; nodes=1:ppn=N, procs=N, ncpus=N, select=…"),
    "v": ("VARS", "NAME=VALUE,… for the job; quotes or a backslash protect commas."),
    "S": ("PATH", "The login shell that starts the script."),
    "d": ("DIR", "Where the job starts."),
    "w": ("DIR", "Its PBS_O_WORKDIR, instead of the present directory."),
    "t": ("N", "Member N of an array; whole arrays are not played."),
    "W": ("LIST", "umask=022."),
    "F": ("WORDS", "Arguments of the script."),
    "C": ("PREFIX", "Lines that begin so are read in place of #PBS lines."),
}


def _options_of_qsub(command: Callable[..., int]) -> Callable[..., int]:
    """All options of qsub, those of TORQUE and of OpenPBS; what is not played is named."""
    for letter in reversed(options.ALONE):
        word, unseen = f"-{letter}", letter not in _ALONE_SHOWN
        told = _ALONE_SHOWN.get(letter, _NOT_PLAYED)
        add = click.option(word, letter, is_flag=True, hidden=unseen, help=told)
        command = add(command)
    hidden = [letter for letter in options.WITH_VALUE if letter not in _SHOWN]
    for letter in reversed([*_SHOWN, *hidden]):
        metavar, told = _SHOWN.get(letter, ("VALUE", _NOT_PLAYED))
        word, unseen = f"-{letter}", letter in hidden
        add = click.option(word, letter, multiple=True, metavar=metavar, hidden=unseen, help=told)
        command = add(command)
    return command


@click.command("run", context_settings={"allow_interspersed_args": False})
@_options_of_qsub
@click.option("--user", metavar="USER", help="Whose job it is; you, under sudo.")
@click.argument("script", type=click.Path(path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run_command(
    user: str | None,
    script: Path,
    arguments: tuple[str, ...],
    **given: bool | tuple[str, ...],
) -> int:
    """Run SCRIPT as a batch job on this machine, checkpointed as -c asks; play its MOM.

    All options of qsub are read, on the command line and in #PBS lines.  What has no meaning on one
    machine without a server, as -q and -l mem=, is named on stderr.  Options stand before SCRIPT.

    \b
    sudo torqueckpt run -c c=1 run_job.sh
    sudo torqueckpt run --user alice -c c=10,depth=2 -o out.txt run_job.sh arg
    sudo torqueckpt run -l walltime=1:00:00 -v TORQUECKPT_CHAIN=1 run_job.sh
    """
    chosen = settings.load()
    owner = _job_owner(user)
    submitted = submission.build(Path.cwd() / script, arguments, owner, _directives(given))
    if submitted.not_played:
        named = log.one_line(", ".join(submitted.not_played))
        click.echo(f"torqueckpt: not played here: {named}", err=True)
    if arguments and arguments[0].startswith("-"):
        told = f"{arguments[0]} is the script's; options of qsub stand before {script}"
        click.echo(f"torqueckpt: {log.one_line(told)}", err=True)
    with Display(owner, chosen, quiet=bool(given["z"])) as display:
        return mom.submit(
            submitted,
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
                settings=chosen,
            ),
            display.update,
            display.started,
        )


def _directives(given: Mapping[str, bool | tuple[str, ...]]) -> list[Directive]:
    found = []
    for letter, values in given.items():
        if isinstance(values, tuple):
            found += [Directive(letter, value) for value in values]
        elif values:
            found.append(Directive(letter, ""))
    return found


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

    A batch system's job is held so without the server's hold, which some releases of TORQUE do not
    carry out: its resume job waits on hold before it ends, and its number is printed.

    \b
    torqueckpt hold 12.node1
    torqueckpt hold 12.server; qrls 13.server
    """
    chosen = settings.load()
    if Spool(chosen.local_home).socket(job_id(job)).exists():
        _ask(job, "hold")
        return
    try:
        new = hold.hold(job, ownership.caller(), chosen, Afresh(chosen), _tell)
    except LibraryNotFound:  # no batch system but the local one
        _ask(job, "hold")
        return
    click.echo(new)


@click.command("release")
@click.argument("job")
def release_command(job: str) -> None:
    """Restart a held JOB in place, from its image.

    \b
    torqueckpt release 12.node1
    """
    _ask(job, "release")


def _ask(job: str, verb: str) -> None:
    from torqueckpt.cli import progress  # rich is slow to import

    chosen = settings.load()
    try:
        with progress.of_the_image(f"{verb} {job}", job_id(job), chosen):
            answer = control.ask(Spool(chosen.local_home).socket(job_id(job)), verb, job)
    except KeyboardInterrupt:
        told = f"the {verb} of {job} goes on, and nobody waits for it; how it went tells"
        click.echo(f"torqueckpt: {told} `{_AFTER[verb].format(job=job)}`", err=True)
        raise
    if answer.exit_code:
        raise CheckpointRefused(reason=answer.message or f"job {job}: its MOM gave no reason")


def _tell(line: str) -> None:
    click.echo(f"torqueckpt: {line}", err=True)


def _job_owner(user: str | None) -> Owner:
    if os.getuid() != 0:
        remedy = "it plays MOM, so: sudo torqueckpt run … (without root: ask your administrator)"
        raise NeedsRoot(what="torqueckpt run", remedy=remedy)
    name = user or os.environ.get("SUDO_USER", "root")
    owner = privileges.owner(name)
    if owner.uid == 0:
        raise click.UsageError("root runs no jobs, as at qsub: name the job's user with --user")
    return owner


class Display:
    """Shows the job.

    On a terminal one live line, elsewhere a line for each thing that went wrong.
    """

    def __init__(self, owner: Owner, settings: Settings, quiet: bool = False) -> None:
        from rich.console import Console  # slow to import, for all other commands too
        from rich.status import Status

        self._owner = owner
        self._settings = settings
        self._out = Console(highlight=False)
        self._errors = Console(stderr=True, highlight=False)
        self._status = Status("", console=self._errors)
        self._quiet = quiet
        self._seen = 0
        self._last = ""
        self._frozen_seconds = 0.0

    def __enter__(self) -> Display:
        if self._errors.is_terminal:
            self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._status.stop()

    def started(self, job: str) -> None:
        """Print the job id, as qsub does."""
        if not self._quiet:
            self._out.print(job)

    def update(self, progress: Progress) -> float:
        """Show the change; gives the newest image's frozen seconds.

        Nothing that goes wrong here may end the MOM: it has a job.
        """
        if progress.checkpoints > self._seen:
            self._seen = progress.checkpoints
            self._look(progress.job)
        try:
            self._show(progress)
        except (OSError, SystemExit):  # rich exits where nobody reads any more
            null = os.open("/dev/null", os.O_WRONLY)
            os.dup2(null, 2)  # Python, too, changes the exit status when it cannot write
            os.close(null)
        return self._frozen_seconds

    def _show(self, progress: Progress) -> None:
        if progress.comment:
            self._errors.print(f"{progress.job}: {progress.comment}", markup=False, soft_wrap=True)
        self._status.update(f"{progress.job} {_STATES[progress.state]}{self._last}")

    def _look(self, job: str) -> None:
        try:
            row = catalogue.rows(self._owner, self._settings, job)[-1]
        except (TorqueCkptError, IndexError, OSError, ValueError):
            self._last = f", {self._seen} checkpoints"
            return
        self._frozen_seconds = row.frozen_ms / 1000
        clock = time.strftime("%H:%M:%S")
        self._last = (
            f", checkpoint {row.generation} at {clock}: "
            f"{row.bytes / 2**20:.1f} MiB, frozen {row.frozen_ms} ms"
        )


COMMANDS = (
    run_command,
    checkpoint_command,
    hold_command,
    release_command,
)
