# SPDX-License-Identifier: MIT
"""Commands that tell what happened to jobs: report, metrics."""

from __future__ import annotations

import json
from pathlib import Path

import click

from torqueckpt import settings
from torqueckpt.cli import ownership, tables
from torqueckpt.log import one_line
from torqueckpt.reports import html as html_report
from torqueckpt.reports import metrics, report
from torqueckpt.reports.report import GRID, LOCAL, ReportRow
from torqueckpt.safe_files import ANY_SIZE, Directory
from torqueckpt.typed_json import plain

_FILE = click.Path(dir_okay=False, allow_dash=True, resolve_path=True)


_COUNTS = ("jobs", "checkpoints", "restarts", "failed")


_TEXTFILE = click.Path(path_type=Path, dir_okay=False, resolve_path=True)


@click.command("report")
@click.option("--by", type=click.Choice(report.BY), help="A line for each user, VO or queue.")
@click.option("--since", metavar="WHEN", help="2010-05-17, 2010-05-17T08:00, 7d, 24h, 30m.")
@click.option("--user", metavar="USER", help="Whose jobs (root).")
@click.option("--html", metavar="FILE", type=_FILE, help="Write a page with pictures; - is stdout.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def report_command(
    by: str | None, since: str | None, user: str | None, html: str | None, as_json: bool
) -> None:
    """Tell whose jobs were checkpointed and restarted, OK or NO and why.

    Your own jobs, for root everybody's; local users and the VOs of grid jobs apart.

    \b
    torqueckpt report --since 7d
    torqueckpt report --by queue
    torqueckpt report --since 30d --html report.html
    """
    chosen = settings.load()
    begin = report.moment(since) if since is not None else 0.0
    owners = ownership.owners(chosen, user)
    if html is not None:
        _write(html, html_report.page(owners, begin, chosen, _tell))
        return
    rows = report.report(owners, by or "", begin, chosen, _tell)
    if as_json:
        click.echo(json.dumps([_plain(row) for row in rows], indent=1))
    elif by is None:
        for part in (LOCAL, GRID):
            _show_part(part, [row for row in rows if row.part == part])
    else:
        tables.lines((by, "", *_COUNTS, "outcome"), [_cells(row) for row in rows])


def _write(file: str, text: str) -> None:
    """Write the page whole, or leave the old one: a web server may be reading it."""
    if file == "-":
        click.echo(text, nl=False)
        return
    path = Path(file)
    try:
        with Directory.open(path.parent) as directory:
            data = text.encode("utf-8", "replace")
            directory.write_whole(path.name, data, 0o644, limit=ANY_SIZE)
    except OSError as problem:
        raise click.FileError(file, problem.strerror) from problem


def _tell(line: str) -> None:
    click.echo(f"torqueckpt: {one_line(line)}", err=True)


def _show_part(part: str, rows: list[ReportRow]) -> None:
    """Print all names that share an outcome on one line."""
    if not rows:
        return
    names: dict[str, list[str]] = {}
    for row in sorted(rows, key=lambda row: (row.outcome != "OK", row.words)):
        names.setdefault(row.words, []).append(row.name)
    lines = [(", ".join(sorted(same)), words) for words, same in names.items()]
    tables.lines((part, "checkpoint and restart"), lines)


def _cells(row: ReportRow) -> tuple[str, ...]:
    counts = (row.jobs, row.checkpoints, row.restarts, row.failed)
    return (row.name, row.part, *map(str, counts), row.words)


def _plain(row: ReportRow) -> dict[str, object]:
    reasons = [{"reason": reason, "jobs": jobs} for reason, jobs in row.reasons]
    return {**plain(row), "reasons": reasons}


@click.command("metrics")
@click.option("--textfile", metavar="PATH", type=_TEXTFILE, help="Write it there, not to stdout.")
@click.option("--user", metavar="USER", help="Whose images (root).")
def metrics_command(textfile: Path | None, user: str | None) -> None:
    """Write the age of each job's newest image, sizes, frozen times and failures for Prometheus.

    \b
    torqueckpt metrics
    torqueckpt metrics --textfile /var/lib/prometheus/node-exporter/torqueckpt.prom

    The periodic service writes it each minute where the setting metrics_textfile names a file.
    """
    chosen = settings.load()
    data = metrics.text(ownership.owners(chosen, user), chosen, _tell)
    if textfile is None:
        click.echo(data, nl=False)
    else:
        metrics.write(textfile, data)


COMMANDS = (report_command, metrics_command)
