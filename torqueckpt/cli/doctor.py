# SPDX-License-Identifier: MIT
"""torqueckpt doctor: can this node checkpoint and restart jobs, and if not, what fixes it?"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from itertools import groupby

import click

from torqueckpt import settings
from torqueckpt.cli import ownership, tables
from torqueckpt.doctor.checks import CheckRow
from torqueckpt.errors import NodeNotFit
from torqueckpt.identity import Owner
from torqueckpt.log import one_line
from torqueckpt.process import privileges
from torqueckpt.typed_json import plain

_STYLES = {"ok": "green", "warning": "yellow", "failure": "bold red"}


@click.command("doctor")
@click.option("--job-user", metavar="USER", help="Whose job the proof is; you, under sudo.")
@click.option("-w", "nodes", metavar="NODES", help="On these nodes, as in n[1-9] or @group.")
@click.option("--timeout", default=300, metavar="SECONDS", help="For the nodes' answers.")
@click.option("--full", is_flag=True, help="Try each kind of resource too (a minute).")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def doctor_command(
    job_user: str | None, nodes: str | None, timeout: int, full: bool, as_json: bool
) -> None:
    """Look for whatever keeps this node from checkpointing and restarting jobs (root).

    One row for each thing: ok, warning or failure, and what fixes it.  At the end a small job of
    USER is dumped, killed, restored and compared.  Nothing of it stays.

    \b
    sudo torqueckpt doctor --job-user alice
    sudo torqueckpt doctor --job-user alice --full
    sudo torqueckpt doctor --job-user alice -w node[1-16]      what is not ok on them, by ssh
    sudo torqueckpt doctor --json | jq '.rows[] | select(.outcome != "ok")'

    \b
    0  all is well, or there are warnings only      111  something failed
    """
    from torqueckpt.doctor.examine import examine

    if nodes is not None:
        _ask(nodes, job_user, timeout, full, as_json)
        return
    rows = tables.watched(
        examine(settings.load(), _user(job_user), full), lambda row: f"{row.group}: {row.check}"
    )
    counts = Counter(row.outcome for row in rows)
    if as_json:
        _show_json([plain(row) for row in rows])
    elif sys.stdout.isatty():
        _show_on_a_terminal(rows)
    else:
        _show(rows)
    if counts["failure"]:
        raise _not_fit("this node is", counts)
    if sys.stdout.isatty():
        click.echo(f"this node is fit for checkpoints: {counts['warning']} warning(s)")


def _ask(names: str, job_user: str | None, timeout: int, full: bool, as_json: bool) -> None:
    """Ask the nodes' own doctors; rows that several nodes share are one."""
    from torqueckpt.node.remote import ask

    words = ["doctor", "--json", *(["--full"] if full else [])]
    user = job_user or os.environ.get("SUDO_USER")
    words += ["--job-user", user] if user is not None else []
    found = ask(names, words, CheckRow, timeout, within="rows", ends=(0, NodeNotFit.exit_code))
    if as_json:
        _show_json([{"nodes": at, **plain(row)} for at, row in found.rows])
    elif all(row.outcome == "ok" for _, row in found.rows):
        click.echo("all is well on all that answered" if found.rows else "nobody answered")
    else:
        made = tables.table("", "nodes", "what", "found", "fix")
        for at, row in found.rows:
            if row.outcome != "ok":
                cells = (at, f"{row.group}: {row.check}", row.what, row.fix)
                made.add_row(
                    tables.styled(row.outcome, _STYLES.get(row.outcome, "")), *map(one_line, cells)
                )
        tables.show(made, unfolded=True)
    ownership.tell_silent(found.silent)
    counts = Counter(row.outcome for _, row in found.rows)
    failed = ",".join(dict.fromkeys(at for at, row in found.rows if row.outcome == "failure"))
    if failed:
        raise _not_fit(failed, counts)


def _not_fit(nodes: str, counts: Counter[str]) -> NodeNotFit:
    return NodeNotFit(nodes=nodes, failures=counts["failure"], warnings=counts["warning"])


def _show_json(rows: list[dict[str, object]]) -> None:
    counts = Counter(row["outcome"] for row in rows)
    found = {name: counts[name] for name in _STYLES}
    click.echo(json.dumps({**found, "rows": rows}, indent=1))


def _show(rows: list[CheckRow]) -> None:
    """Print one line a row, for grep."""
    made = tables.table("", "what", "found", "fix")
    for row in rows:
        outcome = tables.styled(row.outcome, _STYLES[row.outcome])
        made.add_row(outcome, f"{row.group}: {row.check}", row.what, row.fix)
    tables.show(made, unfolded=True)


def _show_on_a_terminal(rows: list[CheckRow]) -> None:
    """Print a line for each group; 80 columns are few, so a fix stands below its finding."""
    made = tables.table("", "what", "found")
    for group, checks in groupby(rows, lambda row: row.group):
        made.add_row("", tables.styled(group, "bold"), "")
        for row in checks:
            outcome = tables.styled(row.outcome, _STYLES[row.outcome])
            fix = tables.styled(f"\n{row.fix}" if row.fix else "", "bold")
            made.add_row(outcome, f"  {row.check}", tables.styled(row.what, "") + fix)
    tables.show(made)


def _user(name: str | None) -> Owner | None:
    name = name or os.environ.get("SUDO_USER")
    if name is None or name == "root":
        return None
    owner = privileges.owner(name)
    if owner.uid == 0:
        raise click.UsageError("root runs no jobs: name an ordinary user with --job-user")
    return owner


COMMANDS = (doctor_command,)
