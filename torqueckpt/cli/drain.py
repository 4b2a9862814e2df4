# SPDX-License-Identifier: MIT
"""The command drain."""

from __future__ import annotations

import json
import os

import click

from torqueckpt import settings
from torqueckpt.batch.server import Afresh
from torqueckpt.cli import tables
from torqueckpt.errors import NotDrained
from torqueckpt.log import one_line
from torqueckpt.node import drain
from torqueckpt.typed_json import plain


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
