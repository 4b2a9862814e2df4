# SPDX-License-Identifier: MIT
"""Commands about images: list, verify, delete, prune, held; show and diff are in show.py."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack

import click

from torqueckpt import budget, settings
from torqueckpt.batch.server import connect
from torqueckpt.budget import Budget
from torqueckpt.cli import ownership, tables
from torqueckpt.errors import ImageDamaged, TorqueCkptError, WrongState
from torqueckpt.identity import job_id
from torqueckpt.ifl import Connection
from torqueckpt.ifl.errors import LibraryNotFound
from torqueckpt.images import catalogue, prune
from torqueckpt.images.ended import JobState
from torqueckpt.log import one_line
from torqueckpt.lsf.control import clean
from torqueckpt.settings import Settings
from torqueckpt.typed_json import plain

_user = click.option("--user", metavar="USER", help="Whose images (root).")

_json = click.option("--json", "as_json", is_flag=True, help="For programs.")

_LINES = json.JSONEncoder(separators=(",\n  ", ": "))

_COLUMNS = ("job", "gen", "created", "size", "frozen", "by", "host", "owner", "whole")

_generation = click.option("--generation", type=click.IntRange(min=1), metavar="N")


_ANSWER_SECONDS = 20


@click.command("list")
@click.option("--job", metavar="JOB", help="Only this job's lineage.")
@click.option("-w", "nodes", metavar="NODES", help="On these nodes, as in n[1-9] or @group.")
@click.option("--timeout", default=30, metavar="SECONDS", help="For the nodes' answers.")
@_user
@_json
def list_command(
    job: str | None, nodes: str | None, timeout: int, user: str | None, as_json: bool
) -> None:
    """List images: your own, for root everybody's.

    WHOLE is NO where the manifest is torn or a file of the image is missing; with --job, also where
    one has another size; it is doubtful where the image, when it was made, would not have come back
    as it was, and the reason stands below the table.  `torqueckpt verify` reads images.

    \b
    torqueckpt list
    torqueckpt list --job 12.node1
    torqueckpt list -w node[1-16]       each node's own store, asked by ssh
    """
    if nodes is not None:
        _list_nodes(nodes, job, user, timeout, as_json)
        return
    chosen = settings.load()
    if job is not None:
        job = ownership.job_or_lineage(job)
        owners = [ownership.owner_of(job, chosen, user)]
    else:
        owners = ownership.owners(chosen, user)
    rows: list[catalogue.GenerationRow] = []
    if os.getuid() != 0 or user is not None or job is not None:
        rows += catalogue.rows(owners[0], chosen, job)
    else:
        for owner in owners:
            with Budget(owner.name, budget.FIGURES).part(_tell):
                rows += catalogue.rows(owner, chosen, None)
    if job is None:
        everybody = os.getuid() == 0 and user is None
        ownership.tell_of_former_stores(None if everybody else owners[0], chosen)
    if as_json:
        click.echo("[" + ",".join(map(_as_json, rows)) + "\n]" if rows else "[]")
        return
    columns, cells = list(_COLUMNS), list(map(_cells, rows))
    if sys.stdout.isatty() and os.getuid() != 0:  # 80 columns are few, and all of it is his own
        at = columns.index("owner")
        for each in (columns, *cells):
            del each[at]
    tables.lines(columns, cells, folded=("job", "host"))
    for row in rows:
        if row.doubts:
            where = f"{row.job} generation {row.generation}"
            click.echo(one_line(f"{where} would not come back as it was: {row.doubts}"))


def _list_nodes(names: str, job: str | None, user: str | None, timeout: int, as_json: bool) -> None:
    from torqueckpt.node import remote

    words = [
        "list",
        "--json",
        *(["--job", ownership.job_or_lineage(job)] if job is not None else []),
    ]
    words += ["--user", user] if user is not None else []
    found = remote.ask(names, words, catalogue.GenerationRow, timeout)
    if as_json:
        click.echo(json.dumps([{"nodes": at, **plain(row)} for at, row in found.rows], indent=1))
    else:
        table = tables.table("nodes", *_COLUMNS)
        for at, row in found.rows:
            table.add_row(at, *_cells(row))
        tables.show(table)
    ownership.tell_silent(found.silent)


def _as_json(row: catalogue.GenerationRow) -> str:
    """As it stands in a list; json's own `indent` takes ten times as long."""
    return f"\n {{\n  {_LINES.encode(plain(row))[1:-1]}\n }}"


def _cells(row: catalogue.GenerationRow) -> list[str]:
    whole = "NO" if not row.whole else "doubtful" if row.doubts else "yes"
    cells = [
        *(row.job or row.lineage, str(row.generation), row.created[:19]),
        *(tables.size(row.bytes), f"{row.frozen_ms} ms"),
        *(row.checkpointer, row.host, row.owner, whole),
    ]
    if "".join(cells).isprintable():
        return cells
    return list(map(one_line, cells))  # manifests are their owners': root reads them here


@click.command("held")
@click.argument("job")
@_user
def held_command(job: str, user: str | None) -> None:
    """Succeed when JOB was held with an image and has not run since; OpenPBS's hook asks.

    \b
    torqueckpt held 12.node1 && echo it waits for its image
    """
    chosen, named = settings.load(), job_id(job)
    if not catalogue.waits_for_its_image(named, ownership.owner_of(named, chosen, user), chosen):
        raise WrongState(job=named, problem="the last that happened to it was no hold")


@click.command("verify")
@click.argument("job")
@_generation
@_user
@_json
def verify_command(job: str, generation: int | None, user: str | None, as_json: bool) -> None:
    """Read every byte of JOB's images and compare; fails when one is damaged.

    \b
    torqueckpt verify 12.node1
    torqueckpt verify 12.node1 --generation 3
    """
    from torqueckpt.cli import progress  # rich is slow to import

    chosen = settings.load()
    job = ownership.job_or_lineage(job)
    owner = ownership.owner_of(job, chosen, user)
    sizes = {row.generation: row.bytes for row in catalogue.rows(owner, chosen, job)}
    total = sum(sizes.values()) if generation is None else sizes.get(generation, 0)
    with progress.shown(f"verify {job}", total) as read:
        found = catalogue.verify(job, owner, chosen, generation, read)
    if as_json:
        rows = [{"generation": number, "defect": defect} for number, defect in found]
        click.echo(json.dumps(rows, indent=1))
    else:
        for number, defect in found:
            click.echo(f"{job} generation {number}: {defect or 'whole'}")
    bad = [number for number, defect in found if defect]
    if bad:
        raise ImageDamaged(job=job, generation=bad[0], problem=f"{len(bad)} of {len(found)} images")


@click.command("delete")
@click.argument("job", required=False)
@_generation
@_user
@click.option("--force", is_flag=True, help="Although somebody may still need the newest image.")
@click.option("--post-exec", is_flag=True, help="All of the job whose POST_EXEC (LSF) this is.")
def delete_command(
    job: str | None, generation: int | None, user: str | None, force: bool, post_exec: bool
) -> None:
    """Delete one generation, or all of a job that has ended.

    The newest whole image stays while a job waits for it, or may run elsewhere; docs/store.md has a
    table.  It goes with --force, unless the job runs on this node.

    \b
    torqueckpt delete 12.node1 --generation 3
    torqueckpt delete 12.node1
    """
    chosen = settings.load()
    if (job is None) != post_exec or (post_exec and (generation or user or force)):
        raise click.UsageError("name a JOB, or say --post-exec alone")
    if job is None:
        job, gone = clean(ownership.caller(), chosen, os.environ)
        click.echo(f"{job}: deleted generation {', '.join(map(str, gone)) or '(none)'}")
        return
    job = ownership.job_or_lineage(job)
    owner = ownership.owner_of(job, chosen, user)
    with ExitStack() as connected:
        state = JobState(chosen, lambda: connected.enter_context(_connect(chosen, None)))
        needed = None if force else state.needed
        gone = catalogue.delete(job, owner, chosen, generation, needed)
    click.echo(f"{job}: deleted generation {', '.join(map(str, gone)) or '(none)'}")


@click.command("prune")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--user", metavar="USER", help="Only this user's images (root).")
@click.option("--server", metavar="HOST", help="Not the default server.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def prune_command(dry_run: bool, user: str | None, server: str | None, as_json: bool) -> None:
    """Remove images that the settings no longer keep: too old, too many, of jobs that have ended.

    The newest whole image of a job stays unless the job is known to have ended.

    \b
    torqueckpt prune --dry-run
    torqueckpt prune --user alice
    """
    chosen = settings.load()
    owner = ownership.owners(chosen, user)[0] if user or os.getuid() != 0 else None
    gone = prune.prune(owner, chosen, _asked(chosen, server), dry_run, _tell)
    if as_json:
        click.echo(json.dumps([plain(each) for each in gone], indent=1))
        return
    for each in gone:
        numbers = ", ".join(map(str, each.generations)) or "none"
        what = f"{each.owner} {each.lineage} generation {numbers}"
        click.echo(one_line(f"{what}: {each.bytes >> 20} MiB, {each.reason}"))


def _connect(chosen: Settings, name: str | None) -> Connection:
    return connect(chosen, name, timeout_seconds=_ANSWER_SECONDS)


def _asked(chosen: Settings, name: str | None) -> Callable[[], Connection] | None:
    """How to ask the batch server; without one its jobs count as not ended, and their images stay.

    Where there is no PBS at all, as at LSF's sites, there is nothing to tell of that.
    """
    try:
        _connect(chosen, name).close()
    except TorqueCkptError as silent:
        if not isinstance(silent, LibraryNotFound):
            _tell(f"jobs of a server are not known to have ended: {silent}")
        return None
    return lambda: _connect(chosen, name)


def _tell(line: str) -> None:
    click.echo(f"torqueckpt: {one_line(line)}", err=True)


COMMANDS = (list_command, verify_command, delete_command, prune_command, held_command)
