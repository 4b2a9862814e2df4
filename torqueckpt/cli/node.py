# SPDX-License-Identifier: MIT
"""torqueckpt periodic: the service of a node."""

from __future__ import annotations

import click

from torqueckpt import settings
from torqueckpt.batch.server import connect
from torqueckpt.chain import walltime
from torqueckpt.identity import job_id
from torqueckpt.node.periodic import Periodic


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
    if not (once or shutdown):
        service.serve(server)
    with connect(chosen, server) as pbs:
        for job in service.shutdown(pbs) if shutdown else service.round(pbs):
            click.echo(job)
    service.write_metrics()


@click.command("last-checkpoint", hidden=True)
@click.argument("job")
@click.argument("sid", type=click.IntRange(min=2))
@click.argument("user")
@click.argument("seconds", type=float)
def last_checkpoint_command(job: str, sid: int, user: str, seconds: float) -> None:
    """Checkpoint and end JOB just before its session leader SID is so many SECONDS old (root); the
    periodic service calls this."""
    walltime.end_in_time(job_id(job), sid, user, seconds, settings.load())


COMMANDS = (periodic_command, last_checkpoint_command)
