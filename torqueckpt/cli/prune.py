# SPDX-License-Identifier: MIT
"""torqueckpt prune: remove the images that the settings no longer keep."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

import click

from torqueckpt import settings
from torqueckpt.batch.server import connect
from torqueckpt.cli import ownership
from torqueckpt.errors import TorqueCkptError
from torqueckpt.images import prune
from torqueckpt.images.ended import Server
from torqueckpt.log import one_line
from torqueckpt.settings import Settings
from torqueckpt.typed_json import plain

_ANSWER_SECONDS = 20


@click.command("prune")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--user", metavar="USER", help="Only this user's images (root).")
@click.option("--server", metavar="HOST", help="Not the default server.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def prune_command(dry_run: bool, user: str | None, server: str | None, as_json: bool) -> None:
    """Remove images that the settings no longer keep: too old, too many, of jobs that are over.

    The newest whole image of a job stays unless the job is known to be over.

    \b
    torqueckpt prune --dry-run
    torqueckpt prune --user alice
    """
    chosen = settings.load()
    owner = ownership.owners(chosen, user)[0] if user or os.getuid() != 0 else None
    with _asked(chosen, server) as pbs:
        gone = prune.prune(owner, chosen, pbs, dry_run, _tell)
    if as_json:
        click.echo(json.dumps([plain(each) for each in gone], indent=1))
        return
    for each in gone:
        numbers = ", ".join(map(str, each.generations)) or "none"
        what = f"{each.owner} {each.lineage} generation {numbers}"
        click.echo(one_line(f"{what}: {each.bytes >> 20} MiB, {each.reason}"))


@contextmanager
def _asked(chosen: Settings, name: str | None) -> Iterator[Server | None]:
    """The batch server; without one its jobs are not known to be over, and their images stay."""
    try:
        connection = connect(chosen, name, timeout_seconds=_ANSWER_SECONDS)
    except (TorqueCkptError, ImportError) as silent:  # cffi is not on every node
        _tell(f"jobs of a server are not known to be over: {silent}")
        yield None
        return
    with connection as pbs:
        yield pbs


def _tell(line: str) -> None:
    click.echo(f"torqueckpt: {one_line(line)}", err=True)
