# SPDX-License-Identifier: MIT
"""The command preflight."""

from __future__ import annotations

import json

import click

from torqueckpt import settings
from torqueckpt.checkpoint.preflight import preflight
from torqueckpt.errors import CannotBeDumped
from torqueckpt.findings import REFUSED, Finding, Process
from torqueckpt.log import one_line
from torqueckpt.typed_json import plain


@click.command("preflight")
@click.argument("what", metavar="JOB|PID")
@click.option("--user", metavar="USER", help="Whose job it is (root).")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def preflight_command(what: str, user: str | None, as_json: bool) -> None:
    """Say whether JOB, or the tree of process PID, can be dumped and would come back.

    \b
    One line for each fact: refused (no checkpoint while that is so), hazard (it comes back, but
    not as it was) or note; with process, object, reason and remedy.  Ends with status 19 when a
    checkpoint would be refused.

    \b
    torqueckpt preflight 12.node1
    torqueckpt preflight 4711           the tree of a process, before it is a job
    """
    report = preflight(what, settings.load(), user)
    named = f"job {report.job}" if report.job else f"process {report.pid}"
    if as_json:
        told = {**plain(report), "findings": [_plain(each) for each in report.findings]}
        click.echo(json.dumps(told, indent=1))
    else:
        for each in report.findings:
            click.echo(one_line(f"{each.severity}: {each}"))
        if report.dumpable:
            click.echo(f"{named}: can be dumped, {report.processes} process(es)")
    if not report.dumpable:
        refused = sum(each.severity == REFUSED for each in report.findings)
        raise CannotBeDumped(what=named, reasons=f"{refused} reason(s), listed above")


def _plain(found: Finding) -> dict[str, object]:
    """One of --json's findings (torqueckpt(1)): of a process and an object of it."""
    pid, name = found.where if isinstance(found.where, Process) else (0, "")
    named = {"severity": found.severity, "pid": pid, "process": name, "object": found.subject}
    return {**named, "what": found.what, "remedy": found.remedy}


COMMANDS = (preflight_command,)
