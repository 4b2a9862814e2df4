# SPDX-License-Identifier: MIT
"""torqueckpt configure lsf: a queue whose jobs are suspended to disk."""

from __future__ import annotations

from pathlib import Path

import click

from torqueckpt.batch.lsf.lsf_conf import Site
from torqueckpt.errors import ConfigNotRight
from torqueckpt.site import config_file, lsf_queue, put_queue
from torqueckpt.site.lsf_queue import QueuePlan

_FILE = click.Path(path_type=Path, dir_okay=False)
_DIRECTORY = click.Path(path_type=Path, file_okay=False)


@click.command("lsf")
@click.option("--queue", required=True, metavar="NAME", help="It is made when it is not there.")
@click.option("--lsb-queues", type=_FILE, help="The file; else lsf.conf says where it is.")
@click.option("--serverdir", type=_DIRECTORY, help="LSF_SERVERDIR; else lsf.conf says it.")
@click.option("--check", "mode", flag_value="check", help="Only tell what is not as it should be.")
@click.option("--diff", "mode", flag_value="diff", help="Show what would change.")
@click.option("--apply", "mode", flag_value="apply", help="Write it and make the links.")
@click.option("--remove", is_flag=True, help="The file without torqueckpt's lines.")
@click.option("--reconfig", is_flag=True, help="With --apply: run `badmin reconfig` too.")
@click.option("--chkpnt", metavar="'DIR [MIN]'", help="LSF's directory; image every MIN minutes.")
@click.option("--method", metavar="NAME", help="echkpnt.NAME and erestart.NAME; else blcr.")
@click.option("--priority", metavar="N", help="PRIORITY; '' for none.")
@click.option("--preemption", metavar="'PREEMPTABLE[QUEUE]'", help="PREEMPTION; '' for none.")
@click.option("--window", metavar="'20:00-8:00'", help="RUN_WINDOW; '' for none.")
@click.option("--mem", metavar="SCHED/STOP", help="Suspend below STOP MB, go on above SCHED.")
def lsf_command(
    queue: str,
    lsb_queues: Path | None,
    serverdir: Path | None,
    mode: str | None,
    remove: bool,
    reconfig: bool,
    **chosen: str | None,
) -> int:
    """Merge torqueckpt's lines into a queue of lsb.queues; without an option, show the result.

    \b
    torqueckpt configure lsf --queue guests --chkpnt /gpfs/lsf-ckpt --priority 10 --diff
    torqueckpt configure lsf --queue guests --apply
    torqueckpt configure lsf --queue guests --check
    """
    given = {name: value for name, value in chosen.items() if value is not None}
    site = Site()

    def planned_now() -> QueuePlan:
        return lsf_queue.plan(queue, lsb_queues, serverdir, given, site, remove=remove)

    plan = planned_now()
    if mode == "check":
        _check(plan)
        return 0
    if mode == "diff":
        click.echo(config_file.diff(plan), nl=False)
    elif mode == "apply":
        _apply(plan)
        plan = planned_now()  # what is still wrong
        if reconfig:
            click.echo(put_queue.reconfigure(site), nl=False)
    else:
        click.echo(plan.new, nl=False)
    for problem in plan.problems:
        click.echo(str(problem), err=True)
    return 0


def _check(plan: QueuePlan) -> None:
    found = lsf_queue.check(plan)
    for problem in found:
        click.echo(str(problem))
    if found:
        raise ConfigNotRight(file=plan.file, count=len(found), which="", consequence="")


def _apply(plan: QueuePlan) -> None:
    try:
        links, kept = put_queue.put(plan)
    except ConfigNotRight:
        for problem in plan.problems:
            click.echo(str(problem), err=True)
        raise
    for link in links:
        click.echo(f"{link}: made")
    if not plan.changes:
        click.echo(f"{plan.file}: nothing to change")
        return
    click.echo(f"{plan.file}: written, the old one is {kept}")
    click.echo("next: badmin reconfig; jobs that run already keep what they were started with")
