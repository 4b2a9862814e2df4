# SPDX-License-Identifier: MIT
"""torqueckpt configure grid-wrapper: the wrapper's SIGTERM trap, not set under our job starter."""

from __future__ import annotations

from pathlib import Path

import click

from torqueckpt.errors import ConfigNotRight
from torqueckpt.site import config_file, grid_wrapper, put_config
from torqueckpt.site.config_file import PlannedFile

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("grid-wrapper")
@click.argument("files", metavar="FILE…", type=_FILE, nargs=-1, required=True)
@click.option("--check", "mode", flag_value="check", help="Only tell which traps are still set.")
@click.option("--diff", "mode", flag_value="diff", help="Show what would change.")
@click.option("--apply", "mode", flag_value="apply", help="Write it; the old file is kept beside.")
@click.option("--undo", is_flag=True, help="Back to the file's own bytes.")
def wrapper_command(files: tuple[Path, ...], mode: str | None, undo: bool) -> int:
    """Have job wrappers set no trap for SIGTERM in jobs that lsf-jobstarter has started.

    FILE is a wrapper, or a program that prints one.  Without an option what would change is shown.

    \b
    torqueckpt configure grid-wrapper --apply /opt/globus/lib/perl/Globus/GRAM/submit-helper.pl
    torqueckpt configure grid-wrapper --apply --undo …
    """
    plans = [grid_wrapper.plan(file, undo=undo) for file in files]  # all, before any is written
    if mode == "check":
        _check(plans)
    for plan in plans:
        if mode is None or mode == "diff":
            click.echo(config_file.diff(plan), nl=False)
        elif mode == "apply" and plan.changes:
            click.echo(f"{plan.file}: written, the old one is {put_config.put(plan)}")
        elif mode == "apply":
            click.echo(f"{plan.file}: nothing to change")
    return 0


def _check(plans: list[PlannedFile]) -> None:
    found = [problem for plan in plans for problem in grid_wrapper.check(plan)]
    for problem in found:
        click.echo(str(problem))
    if found:
        raise ConfigNotRight(file=found[0].file, count=len(found), which="", consequence="")
