# SPDX-License-Identifier: MIT
"""Whose images a command works on: a user's own, root's on behalf of the owner.

Also: which nodes did not answer.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from torqueckpt import budget, log
from torqueckpt.budget import Budget
from torqueckpt.errors import (
    NeedsRoot,
    NodesSilent,
    UnknownJob,
)
from torqueckpt.identity import Owner, is_lineage_name, job_id
from torqueckpt.process import privileges
from torqueckpt.settings import Settings
from torqueckpt.store import access, former


def job_or_lineage(text: str) -> str:
    """Check a job id, or the name of a lineage as `list` prints it; InvalidJobId."""
    return text if is_lineage_name(text) else job_id(text)


def owner_of(job: str, settings: Settings, user: str | None) -> Owner:
    """The job's owner: the caller; for root, `user`, else the one user with images of that job."""
    if os.getuid() != 0:
        return caller(user)
    if user is not None:
        return privileges.owner(user)
    for owner in owners(settings, None):
        part = Budget(owner.name, budget.ROUND).part(log.warning)
        with part, access.lineage_if_any(job, owner, settings) as found:
            if found is not None:
                return owner
    elsewhere = former.words(access.anybodys_former(settings, job))
    raise UnknownJob(job=job, owner="nobody", store=settings.store, elsewhere=elsewhere)


def tell_of_former_stores(owner: Owner | None, settings: Settings) -> None:
    """Print where else images of the owner's lie, or, None, of anybody's: a listing lacks them."""
    if owner is None:
        found = access.anybodys_former(settings)
    else:
        with privileges.acting_as(owner):
            found = access.former_with(owner, settings)
    for path in found:
        told = f"there are images in {path}, the store before: {former.HOW_TO_GO_ON}"
        click.echo(f"torqueckpt: {told}", err=True)


def owners(settings: Settings, user: str | None) -> list[Owner]:
    """Whose images are listed: the caller's own; for root, everybody's."""
    if os.getuid() != 0:
        return [caller(user)]
    if user is not None:
        return [privileges.owner(user)]
    return access.owners(settings)


def caller(user: str | None = None) -> Owner:
    """Whoever runs this program, who may name no other."""
    owner = privileges.owner_of_uid(os.getuid())
    if user is not None and user != owner.name:
        raise NeedsRoot(what=f"the images of {user}", remedy="each user sees and touches his own")
    return owner


def tell_silent(silent: Sequence[tuple[str, str]]) -> None:
    """Print the nodes that did not answer, a line for each reason; NodesSilent is the last one."""
    for nodes, why in silent[:-1]:
        click.echo(f"torqueckpt: {NodesSilent(nodes=nodes, reason=why)}", err=True)
    for nodes, why in silent[-1:]:
        raise NodesSilent(nodes=nodes, reason=why)
