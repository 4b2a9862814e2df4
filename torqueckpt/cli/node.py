# SPDX-License-Identifier: MIT
"""Commands for a node's administrator: periodic, drain, modules."""

from __future__ import annotations

import json
import os
import signal

import click

from torqueckpt import settings
from torqueckpt.batch.server import Afresh, connect
from torqueckpt.chain import walltime
from torqueckpt.cli import tables
from torqueckpt.errors import NotDrained
from torqueckpt.identity import job_id
from torqueckpt.log import one_line
from torqueckpt.node import drain, housekeeping
from torqueckpt.node.periodic import Periodic
from torqueckpt.rights import begin
from torqueckpt.site import altix_modules
from torqueckpt.typed_json import plain

_NOT_LOADED = 3  # as LSB's status has it: not running


@click.command("periodic")
@click.option("--once", is_flag=True, help="One round, for cron; prints whom it checkpointed.")
@click.option("--shutdown", is_flag=True, help="Checkpoint every job that can be, due or not.")
@click.option("--server", metavar="HOST", help="Not the default server.")
def periodic_command(once: bool, shutdown: bool, server: str | None) -> None:
    """Take the periodic checkpoints of this node's jobs that MOM does not take (root).

    \b
    torqueckpt periodic           for ever, as the service does
    torqueckpt periodic --once    from cron
    """
    chosen = settings.load()
    service = Periodic(chosen)
    begin.begin("torqueckpt periodic")
    if not (once or shutdown):
        service.serve(server)
    with connect(chosen, server) as pbs:
        for job in service.shutdown(pbs) if shutdown else service.round(pbs):
            click.echo(job)
    housekeeping.write_metrics(chosen)


@click.command("last-checkpoint", hidden=True)
@click.argument("job")
@click.argument("sid", type=click.IntRange(min=2))
@click.argument("user")
@click.argument("seconds", type=float)
def last_checkpoint_command(job: str, sid: int, user: str, seconds: float) -> None:
    """Checkpoint and end JOB just before its session leader SID is so many SECONDS old (root); the
    periodic service calls this."""
    walltime.end_in_time(job_id(job), sid, user, seconds, settings.load())


@click.command("drain")
@click.option("--node", metavar="NODE", help="Not this one.")
@click.option("--undo", is_flag=True, help="The node is back: release what was held there.")
@click.option("--server", metavar="HOST", help="Not the default server.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def drain_command(node: str | None, undo: bool, server: str | None, as_json: bool) -> None:
    """Empty a node: hold its jobs, each with its image; with a shared store they go on elsewhere.

    The node is set offline first.  Jobs that cannot be checkpointed run on and are listed; the
    status is 27 then.

    \b
    torqueckpt drain --node node7
    torqueckpt drain --node node7 --undo
    """
    chosen, named = settings.load(), node or os.uname().nodename
    pbs = Afresh(chosen, server)
    for number in (signal.SIGHUP, signal.SIGTERM):  # as Ctrl-C: what was done is told
        signal.signal(number, signal.default_int_handler)
    rows = drain.undo(named, pbs) if undo else drain.drain(named, chosen, pbs)
    if as_json:
        click.echo(json.dumps([plain(row) for row in rows], indent=1))
    else:
        table = tables.table("job", "owner", "outcome", "")
        for row in rows:
            table.add_row(*map(one_line, (row.job, row.owner, row.outcome, row.what)))
        tables.show(table)
    left = sum(row.outcome == drain.LEFT for row in rows)
    if left:
        raise NotDrained(node=named, count=left)


@click.command("modules")
@click.argument(
    "verb", metavar="load|unload|status", type=click.Choice(["load", "unload", "status"])
)
def modules_command(verb: str) -> int:
    """Load or unload syscover.ko and ckpt.ko from modules_dir, or tell which are loaded.

    \b
    torqueckpt modules load

    \b
    0  they are as asked        3  status: one of them is not loaded
    """
    kernel = altix_modules.Kernel()
    if verb == "load":
        _tell("loaded", altix_modules.load(settings.load(), kernel))
    elif verb == "unload":
        _tell("unloaded", altix_modules.unload(kernel))
    else:
        gone = altix_modules.missing(kernel)
        for name in altix_modules.ORDER:
            click.echo(f"{name}: {'not loaded' if name in gone else 'loaded'}")
        return _NOT_LOADED if gone else 0
    return 0


def _tell(what: str, names: list[str]) -> None:
    click.echo(f"{what}: {', '.join(names)}" if names else f"nothing to do, all is {what}")


COMMANDS = (periodic_command, last_checkpoint_command, drain_command, modules_command)
