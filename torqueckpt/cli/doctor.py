# SPDX-License-Identifier: MIT
"""torqueckpt doctor: can this node checkpoint and restart jobs, and if not, what mends it?"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from dataclasses import asdict

import click

from torqueckpt import settings
from torqueckpt.actions.doctor.told import Row
from torqueckpt.cli import tables
from torqueckpt.errors import NodeNotFit
from torqueckpt.identity import Owner
from torqueckpt.process import become

_STYLES = {"ok": "green", "warning": "yellow", "failure": "bold red"}


@click.command("doctor")
@click.option("--job-user", metavar="USER", help="Whose job the proof is; you, under sudo.")
@click.option("--full", is_flag=True, help="Try each kind of resource too (a minute).")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def doctor_command(job_user: str | None, full: bool, as_json: bool) -> None:
    """Look for whatever keeps this node from checkpointing and restarting jobs (root).

    One row for each thing: ok, warning or failure, and what mends it.  At the end a small job of
    USER is dumped, killed, restored and compared.  Nothing of it stays.

    \b
    sudo torqueckpt doctor --job-user alice
    sudo torqueckpt doctor --job-user alice --full
    sudo torqueckpt doctor --json | jq '.rows[] | select(.outcome != "ok")'

    \b
    0  all is well, or there are warnings only      111  something failed
    """
    from torqueckpt.actions.doctor.examine import examine

    rows = tables.watched(
        examine(settings.load(), _user(job_user), full), lambda row: f"{row.group}: {row.check}"
    )
    counts = Counter(row.outcome for row in rows)
    if as_json:
        found = {name: counts[name] for name in _STYLES}
        click.echo(json.dumps({**found, "rows": [asdict(row) for row in rows]}, indent=1))
    else:
        _show(rows)
    if counts["failure"]:
        raise NodeNotFit(failures=counts["failure"], warnings=counts["warning"])


def _show(rows: list[Row]) -> None:
    """One line a row for grep; on a terminal what mends it stands below what was found."""
    narrow = sys.stdout.isatty()
    made = tables.table("", "what", *(["found"] if narrow else ["found", "fix"]))
    for row in rows:
        first = (tables.styled(row.outcome, _STYLES[row.outcome]), f"{row.group}: {row.check}")
        if narrow:
            fix = tables.styled(f"\n{row.fix}", "bold") if row.fix else tables.styled("", "")
            made.add_row(*first, tables.styled(row.what, "") + fix)
        else:
            made.add_row(*first, row.what, row.fix)
    tables.show(made, unfolded=True)


def _user(name: str | None) -> Owner | None:
    name = name or os.environ.get("SUDO_USER")
    if name is None or name == "root":
        return None
    who = become.owner(name)
    if who.uid == 0:
        raise click.UsageError("root runs no jobs: name an ordinary user with --job-user")
    return who
