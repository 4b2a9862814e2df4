# SPDX-License-Identifier: MIT
"""`torqueckpt resume-job` of an array: which members, and what is told of the others."""

from __future__ import annotations

import click

from torqueckpt.batch.server import connect
from torqueckpt.identity import Owner
from torqueckpt.images import catalogue
from torqueckpt.resubmit import array_job, resubmit
from torqueckpt.resubmit.array_job import FAILED, FINISHED, GOES_ON, UNKNOWN, Array
from torqueckpt.resubmit.resume_script import Image
from torqueckpt.settings import Settings
from torqueckpt.store import journal

Chosen = tuple[Array, list[int]]


def chosen(
    array: str, failed: bool, members: str | None, owner: Owner, settings: Settings
) -> Chosen:
    """The array, and which of its members are to go on."""
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


def submit(text: str, members: Chosen, image: Image, owner: Owner, settings: Settings) -> str:
    """The new array's id; the journal tells of each member which one it became."""
    found, indices = members
    new = resubmit.qsub(text, found.name, image.made.job.submit_dir)
    for number, index in enumerate(indices):
        job = array_job.member(found.name, index)
        became = array_job.member(new, number if found.openpbs else index)
        with catalogue.lineage_of(job, owner, settings) as (mine, _):
            journal.note(mine, "submit", job, resume_job=became)
    return new
