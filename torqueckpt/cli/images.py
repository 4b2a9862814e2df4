# SPDX-License-Identifier: MIT
"""Commands about images: list, show, verify, delete."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict

import click

from torqueckpt import settings
from torqueckpt.actions import catalogue
from torqueckpt.actions.post_exec import clean
from torqueckpt.cli import tables, who
from torqueckpt.errors import ImageDamaged, StoreNotWritable, WrongState
from torqueckpt.identity import job_id
from torqueckpt.log import one_line
from torqueckpt.manifest import Manifest

_COLUMNS = ("job", "gen", "created", "size", "frozen", "by", "host", "owner", "whole")

_user = click.option("--user", metavar="USER", help="Whose images (root).")
_json = click.option("--json", "as_json", is_flag=True, help="For programs.")
_generation = click.option("--generation", type=click.IntRange(min=1), metavar="N")


@click.command("list")
@click.option("--job", metavar="JOB", help="Only this job's lineage.")
@_user
@_json
def list_command(job: str | None, user: str | None, as_json: bool) -> None:
    """List images: your own, for root everybody's."""
    chosen = settings.load()
    if job is not None:
        job = who.job_or_lineage(job)
        owners = [who.owner_of(job, chosen, user)]
    else:
        owners = who.owners(chosen, user)
    rows = []
    for owner in owners:
        try:
            rows += catalogue.rows(owner, chosen, job)
        except StoreNotWritable as broken:
            if os.getuid() != 0 or user is not None or job is not None:
                raise
            click.echo(f"torqueckpt: left out: {one_line(str(broken))}", err=True)
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=1))
        return
    tables.show(_COLUMNS, [_cells(row) for row in rows])


def _cells(row: catalogue.Row) -> tuple[str, ...]:
    cells = (
        *(row.job or row.lineage, str(row.generation), row.created[:19], _size(row.bytes)),
        *(f"{row.frozen_ms} ms", row.checkpointer, row.host, row.owner),
        "yes" if row.whole else "NO",
    )
    return tuple(map(one_line, cells))  # manifests are their owners': root reads them here


@click.command("held")
@click.argument("job")
@_user
def held_command(job: str, user: str | None) -> None:
    """Succeed when JOB was held with an image and has not run since; OpenPBS's hook asks."""
    chosen, named = settings.load(), job_id(job)
    if not catalogue.waits_for_its_image(named, who.owner_of(named, chosen, user), chosen):
        raise WrongState(job=named, problem="the last that happened to it was no hold")


@click.command("show")
@click.argument("job")
@_generation
@_user
@_json
def show_command(job: str, generation: int | None, user: str | None, as_json: bool) -> None:
    """Show one image: processes, open files, sizes, times; the newest unless told."""
    chosen = settings.load()
    job = who.job_or_lineage(job)
    made, live, whole = catalogue.recorded(job, who.owner_of(job, chosen, user), chosen, generation)
    if as_json:
        running = asdict(live) if live is not None else None
        facts = {**asdict(made), "bytes": made.bytes, "whole": whole, "live": running}
        click.echo(json.dumps(facts, indent=1))
        return
    for line in (
        f"{made.job.id} generation {made.generation} of lineage {made.lineage}",
        f"{made.job.name} of {made.job.owner}, in {made.job.submit_dir}",
        f"{made.checkpointer} {made.checkpointer_version} on {made.host}, kernel {made.kernel}",
        f"{_size(made.bytes)}, frozen {made.frozen_us / 1000:.0f} ms, "
        f"dump {made.wall_ms} ms, {'whole' if whole else 'NOT WHOLE'}",
        *made.remarks,
    ):
        click.echo(one_line(line))
    processes = [(str(each.pid), str(each.ppid), one_line(each.name)) for each in made.processes]
    tables.show(("pid", "parent", "process"), processes)
    tables.show(("pid", "fd", "offset", "size", "file"), list(_open_files(made)))


def _open_files(made: Manifest) -> Iterator[tuple[str, ...]]:
    for file in made.files:
        if file.fd < 0 and not file.mapped:  # programs and libraries
            continue
        name = one_line(file.path) + (" (deleted)" if file.deleted else "")
        yield (*map(str, (file.pid, file.fd, file.offset, file.size)), name)


@click.command("verify")
@click.argument("job")
@_generation
@_user
@_json
def verify_command(job: str, generation: int | None, user: str | None, as_json: bool) -> None:
    """Read every byte of JOB's images and compare; fails when one is damaged."""
    chosen = settings.load()
    job = who.job_or_lineage(job)
    found = catalogue.verify(job, who.owner_of(job, chosen, user), chosen, generation)
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
@click.option("--post-exec", is_flag=True, help="All of the job whose POST_EXEC (LSF) this is.")
def delete_command(
    job: str | None, generation: int | None, user: str | None, post_exec: bool
) -> None:
    """Delete one generation, or all of a job that has ended."""
    chosen = settings.load()
    if (job is None) != post_exec or (post_exec and (generation or user)):
        raise click.UsageError("name a JOB, or say --post-exec alone")
    if job is None:
        job, gone = clean(who.caller(), chosen, os.environ)
        click.echo(f"{job}: deleted generation {', '.join(map(str, gone)) or '(none)'}")
        return
    job = who.job_or_lineage(job)
    gone = catalogue.delete(job, who.owner_of(job, chosen, user), chosen, generation)
    click.echo(f"{job}: deleted generation {', '.join(map(str, gone)) or '(none)'}")


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


COMMANDS = (list_command, show_command, verify_command, delete_command, held_command)
