# SPDX-License-Identifier: MIT
"""Commands about chains: submit, status, cancel; and what their jobs call."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import click

from torqueckpt import settings
from torqueckpt.chain import link, server_jobs, status
from torqueckpt.cli import ownership, tables
from torqueckpt.errors import NeedsRoot, NotInAJob
from torqueckpt.identity import Owner, job_id
from torqueckpt.log import one_line
from torqueckpt.process import job_processes, privileges
from torqueckpt.typed_json import plain

_AS_QSUB = {"ignore_unknown_options": True, "allow_interspersed_args": False}
_SCRIPT = 3  # the descriptor that the first link finds the user's script at
_user = click.option("--user", metavar="USER", help="Whose chain (root).")


@click.command(
    "submit",
    context_settings={**_AS_QSUB, "help_option_names": ["--help"]},
    options_metavar="[QSUB OPTIONS]",
)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@click.argument("script", type=click.Path(path_type=Path))
def submit_command(options: tuple[str, ...], script: Path) -> None:
    """Submit SCRIPT as qsub does, for as many walltimes as it needs.

    All but the last word goes to qsub as it is.  Behind the job another waits that goes on from its
    newest image when it ends before its work is done, and so on; each is checkpointed and ended
    just before its walltime.  Prints the first job's id, which names the chain.

    \b
    torqueckpt submit -l walltime=24:00:00 -c c=30 run_job.sh
    torqueckpt status 12.server
    torqueckpt cancel 12.server
    """
    click.echo(server_jobs.submit(options, script, settings.load(), _tell))


@click.command("status")
@click.argument("chain")
@_user
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status_command(chain: str, user: str | None, as_json: bool) -> None:
    """Show the links of CHAIN, which any of its jobs names.

    For each its state at the server, the image that it went on from, how many it made, its end.

    \b
    torqueckpt status 12.server
    """
    found = status.status(job_id(chain), _owner(user), settings.load())
    if as_json:
        click.echo(json.dumps(plain(found), indent=1))
        return
    table = tables.table("link", "job", "state", "host", "started", "from", "images", "end")
    for number, row in enumerate(found.links, 1):
        clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row.started))
        cells = (
            *(str(number), row.job, row.state or "-", row.host or "-"),
            *(clock if row.started else "-", row.began_from or "-", str(row.images), row.end),
        )
        table.add_row(*map(one_line, cells))
    tables.show(table)
    with_status = f" with {found.exit_status}" if found.exit_status is not None else ""
    why = f": {found.why}" if found.why else ""
    click.echo(one_line(f"chain {found.chain} {found.state}{with_status}{why}"))


@click.command("cancel")
@click.argument("chain")
@_user
def cancel_command(chain: str, user: str | None) -> None:
    """End all of CHAIN, which any of its jobs names; its images are kept.

    \b
    torqueckpt cancel 12.server
    """
    for job in status.cancel(job_id(chain), _owner(user), settings.load()):
        click.echo(job)


@click.command("link", hidden=True, context_settings={"ignore_unknown_options": True})
@click.option("--chain", metavar="JOB", help="Not the first link: this one was.")
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def link_command(chain: str | None, words: tuple[str, ...]) -> int:
    """Be a link of a chain, inside its job; the scripts that `submit` makes call this."""
    present = job_id(job_processes.job_in(os.environ) or "-")
    if os.getuid() == 0:
        raise NeedsRoot(what="a link", remedy="no: it is for the job's owner, inside a batch job")
    chosen = settings.load()
    if chain is not None:
        return link.go_on(job_id(chain), present, chosen)
    try:
        with os.fdopen(_SCRIPT, "rb") as file:
            script = file.read()
    except OSError as problem:
        raise NotInAJob(job=present) from problem
    _reap()
    return link.begin(present, script, words, chosen)


@click.command("link-ended", hidden=True)
@click.argument("chain")
@click.argument("status", type=int)
def link_ended_command(chain: str, status: int) -> None:
    """Say that the script of a chain is done; the shell that runs it calls this."""
    link.ended(ownership.job_or_lineage(chain), status, settings.load())


def _reap() -> None:
    """Reap the children of the shell that wrote the script."""
    try:
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        return


def _owner(user: str | None) -> Owner:
    if os.getuid() == 0 and user is not None:
        return privileges.owner(user)
    return ownership.caller(user)


def _tell(line: str) -> None:
    click.echo(line, err=True)


COMMANDS = (submit_command, status_command, cancel_command, link_command, link_ended_command)
