# SPDX-License-Identifier: MIT
"""torqueckpt configure: a MOM's node, a queue of LSF, or a grid wrapper told to call torqueckpt."""

from __future__ import annotations

import os
from pathlib import Path

import click

from torqueckpt import settings
from torqueckpt.batch.lsf.lsf_conf import Site
from torqueckpt.batch.server import connect
from torqueckpt.batch.torque import hold_answers
from torqueckpt.errors import ConfigNotRight, TorqueCkptError
from torqueckpt.findings import HAZARD, Finding
from torqueckpt.settings import Settings
from torqueckpt.site import config_file, generate, grid_wrapper, lsf_queue, mom, openpbs_hook
from torqueckpt.site.config_file import PlannedFile
from torqueckpt.site.lsf_queue import QueuePlan
from torqueckpt.site.mom import SYSTEMS

_ANSWER_SECONDS = 10

_DIRECTORY = click.Path(path_type=Path, file_okay=False)


_FILE = click.Path(path_type=Path, dir_okay=False)

_DIRECTORY = click.Path(path_type=Path, file_okay=False)


_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("torque|openpbs")
@click.option(
    "--mom-priv", type=_DIRECTORY, help="Where MOM's config lies; else PBS_HOME/mom_priv."
)
@click.option("--check", "mode", flag_value="check", help="Only tell what is not as it should be.")
@click.option("--diff", "mode", flag_value="diff", help="Show what would change.")
@click.option("--apply", "mode", flag_value="apply", help="Write it and have pbs_mom read it.")
@click.option("--remove", is_flag=True, help="The file without torqueckpt's lines.")
@click.option(
    "--pbsserver", multiple=True, metavar="HOST", help="$pbsserver ($clienthost); '': none."
)
@click.option("--usecp", multiple=True, metavar="'HOST:FROM TO'", help="$usecp; '' for none.")
@click.option("--logevent", metavar="MASK", help="$logevent.")
@click.option("--loglevel", metavar="0-7", help="$loglevel, TORQUE only.")
@click.option("--output", type=_DIRECTORY, help="Write all other files there, for you to put.")
@click.option("--node", "nodes", multiple=True, metavar="NAME[:NP]", help="For --output: nodes.")
@click.option("--queue", default="checkpoint", metavar="NAME", help="For --output: the queue.")
@click.option("--prefix", type=_DIRECTORY, default=Path("/usr/local"), help="TORQUE's own prefix.")
@click.option(
    "--services", metavar="NAMES", default="", help="For the init script, comma-separated."
)
@click.pass_context
def mom_command(
    context: click.Context,
    mom_priv: Path | None,
    mode: str | None,
    remove: bool,
    pbsserver: tuple[str, ...],
    usecp: tuple[str, ...],
    logevent: str | None,
    loglevel: str | None,
    output: Path | None,
    nodes: tuple[str, ...],
    queue: str,
    prefix: Path,
    services: str,
) -> int:
    """Merge torqueckpt's lines into mom_priv/config; without an option, show the result.

    \b
    torqueckpt configure torque --diff
    torqueckpt configure torque --apply --pbsserver head
    torqueckpt configure torque --check
    torqueckpt configure torque --output /tmp/torqueckpt --node n1:16 --node n2:16
    """
    chosen = {
        "pbsserver": pbsserver,
        "usecp": usecp,
        "logevent": (logevent,) if logevent is not None else (),
        "loglevel": (loglevel,) if loglevel is not None else (),
    }
    given = {name: values for name, values in chosen.items() if values}
    system = str(context.info_name)  # under which of its names it was called
    current = settings.load()
    plan = mom.plan(system, mom_priv, given, current, remove=remove)
    if output is not None:
        site = generate.Site(
            nodes=[_node(text) for text in nodes or (mom.node_name(),)],
            queue=queue,
            prefix=prefix,
            services=tuple(filter(None, services.split(","))),
            directory=output.resolve(),
        )
        for path in generate.write(output, generate.files(plan, site, current)):
            click.echo(path)
    elif mode == "check":
        _check(plan, current)
    elif mode == "diff":
        click.echo(config_file.diff(plan), nl=False)
    elif mode == "apply":
        _apply(plan)
        _tell_server(plan, current, remove)
    else:
        click.echo(plan.new, nl=False)
    if mode != "check":
        for problem in plan.problems:
            click.echo(str(problem), err=True)
    return 0


def _check(plan: mom.Plan, current: Settings) -> None:
    found = mom.check(plan)
    if plan.system.name == "openpbs":
        found += openpbs_hook.check(plan.mom_priv, current)
    else:
        found += _of_server(current)
    for problem in found:
        click.echo(str(problem))
    if found:
        raise ConfigNotRight(file=plan.file, count=len(found), which="", consequence="")


def _of_server(settings: Settings) -> list[Finding]:
    """A TORQUE server with which holds go wrong; of one that does not answer `doctor` tells."""
    try:
        with connect(settings, timeout_seconds=_ANSWER_SECONDS) as pbs:
            answer = pbs.server_status(["pbs_version"])
            if pbs.is_openpbs or not hold_answers.unclear(answer.version):
                return []
    except TorqueCkptError:
        return []
    what = hold_answers.WHAT.format(version=f"TORQUE {answer.version}")
    return [Finding(HAZARD, f"server {answer.name}", what, hold_answers.REMEDY)]


def _apply(plan: mom.Plan) -> None:
    if not plan.changes:
        config_file.refuse_if_stopped(plan)
        click.echo(f"{plan.file}: nothing to change")
        return
    try:
        kept = config_file.put(plan)
    except ConfigNotRight:
        for problem in plan.problems:
            click.echo(str(problem), err=True)
        raise
    click.echo(f"{plan.file}: written" + (f", the old one is {kept}" if kept else ""))
    told = mom.tell_mom(plan)
    click.echo(f"pbs_mom ({told}) reads it again" if told else "no pbs_mom runs here that reads it")


def _tell_server(plan: mom.Plan, current: Settings, remove: bool) -> None:
    """What is not MOM's: OpenPBS's server has the launch hook."""
    if plan.system.name != "openpbs":
        return
    if remove:
        told = openpbs_hook.remove(plan.mom_priv, mom.pbs_conf())
    else:
        told = openpbs_hook.put(plan.mom_priv, mom.pbs_conf(), current)
    for line in told:
        click.echo(line)
    if not remove:
        for problem in openpbs_hook.check(plan.mom_priv, current):
            click.echo(str(problem), err=True)


def _node(text: str) -> generate.Node:
    name, _, cores = text.partition(":")
    if cores and not cores.isdigit():
        raise click.BadParameter(f"{text}: NAME:NP, as in n1:16")
    return generate.Node(name, int(cores or os.cpu_count() or 1))


@click.group("configure")
def configure_group() -> None:
    """Have a batch system call torqueckpt: its configuration merged, checked, compared."""


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
        _check_queue(plan)
        return 0
    if mode == "diff":
        click.echo(config_file.diff(plan), nl=False)
    elif mode == "apply":
        _apply_queue(plan)
        plan = planned_now()  # what is still wrong
        if reconfig:
            click.echo(lsf_queue.reconfigure(site), nl=False)
    else:
        click.echo(plan.new, nl=False)
    for problem in plan.problems:
        click.echo(str(problem), err=True)
    return 0


def _check_queue(plan: QueuePlan) -> None:
    found = lsf_queue.check(plan)
    for problem in found:
        click.echo(str(problem))
    if found:
        raise ConfigNotRight(file=plan.file, count=len(found), which="", consequence="")


def _apply_queue(plan: QueuePlan) -> None:
    try:
        links, kept = lsf_queue.put(plan)
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
        _check_wrappers(plans)
    for plan in plans:
        if mode is None or mode == "diff":
            click.echo(config_file.diff(plan), nl=False)
        elif mode == "apply" and plan.changes:
            click.echo(f"{plan.file}: written, the old one is {config_file.put(plan)}")
        elif mode == "apply":
            click.echo(f"{plan.file}: nothing to change")
    return 0


def _check_wrappers(plans: list[PlannedFile]) -> None:
    found = [(plan.file, problem) for plan in plans for problem in grid_wrapper.check(plan)]
    for _, problem in found:
        click.echo(str(problem))
    if found:
        raise ConfigNotRight(file=found[0][0], count=len(found), which="", consequence="")


for _name in SYSTEMS:
    configure_group.add_command(mom_command, _name)

configure_group.add_command(lsf_command)

configure_group.add_command(wrapper_command)


COMMANDS = (configure_group,)
