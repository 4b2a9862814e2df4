# SPDX-License-Identifier: MIT
"""`torqueckpt resume --rehearse`: what it prints."""

from __future__ import annotations

import json
import os

import click

from torqueckpt.cli import ownership, tables, waiting
from torqueckpt.errors import WouldNotRestart
from torqueckpt.log import one_line
from torqueckpt.request import RestartRequest
from torqueckpt.restart.rehearse import Rehearsal, rehearse
from torqueckpt.settings import Settings


def show(request: RestartRequest, settings: Settings, as_json: bool) -> None:
    """A row for each thing that was looked at; WouldNotRestart when one stands in the way."""
    owner = ownership.owner_of(request.job_id, settings, None)
    found = rehearse(request, owner, settings, os.getuid() == 0, waiting.phase())
    if as_json:
        click.echo(json.dumps(_facts(found), indent=1))
    else:
        table = tables.table("", "looked at", "found")
        for each in found.fits:
            table.add_row(each.severity, each.subject, one_line(each.what))
        tables.show(table)
    if found.refused:
        raise WouldNotRestart(job=found.job, host=found.host, count=found.refused)


def _facts(found: Rehearsal) -> dict[str, object]:
    return {
        "job": found.job,
        "host": found.host,
        "generation": found.generation,
        "would_restart": not found.refused,
        "findings": [
            {"severity": each.severity, "subject": each.subject, "what": each.what}
            for each in found.fits
        ],
    }
