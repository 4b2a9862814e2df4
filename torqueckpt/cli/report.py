# SPDX-License-Identifier: MIT
"""torqueckpt report: whose jobs can be checkpointed and restarted here, and why others cannot."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from torqueckpt import settings
from torqueckpt.actions import report
from torqueckpt.actions.report import GRID, LOCAL, Row
from torqueckpt.cli import tables, who

_COUNTS = ("jobs", "checkpoints", "restarts", "failed")


@click.command("report")
@click.option("--by", type=click.Choice(report.BY), help="A line for each user, VO or queue.")
@click.option("--since", metavar="WHEN", help="2010-05-17, 2010-05-17T08:00, 7d, 24h, 30m.")
@click.option("--user", metavar="USER", help="Whose jobs (root).")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def report_command(by: str | None, since: str | None, user: str | None, as_json: bool) -> None:
    """Tell whose jobs were checkpointed and restarted, OK or NO and why.

    Your own jobs, for root everybody's; local users and the VOs of grid jobs apart.
    """
    chosen = settings.load()
    begin = report.moment(since) if since is not None else 0.0
    rows = report.report(who.owners(chosen, user), by or "", begin, chosen)
    if as_json:
        click.echo(json.dumps([_plain(row) for row in rows], indent=1))
    elif by is None:
        for part in (LOCAL, GRID):
            _show_part(part, [row for row in rows if row.part == part])
    else:
        tables.show((by, "", *_COUNTS, "outcome"), [_cells(row) for row in rows])


def _show_part(part: str, rows: list[Row]) -> None:
    """All names that share an outcome on one line."""
    if not rows:
        return
    names: dict[str, list[str]] = {}
    for row in sorted(rows, key=lambda row: (row.outcome != "OK", row.words)):
        names.setdefault(row.words, []).append(row.name)
    lines = [(", ".join(sorted(same)), words) for words, same in names.items()]
    tables.show((part, "checkpoint and restart"), lines)


def _cells(row: Row) -> tuple[str, ...]:
    counts = (row.jobs, row.checkpoints, row.restarts, row.failed)
    return (row.name, row.part, *map(str, counts), row.words)


def _plain(row: Row) -> dict[str, object]:
    reasons = [{"reason": reason, "jobs": jobs} for reason, jobs in row.reasons]
    return {**asdict(row), "reasons": reasons}
