# SPDX-License-Identifier: MIT
"""torqueckpt configure: a batch system, told to call torqueckpt; here that of a MOM's node."""

from __future__ import annotations

import os
from pathlib import Path

import click

from torqueckpt import settings
from torqueckpt.cli import configure_lsf, configure_wrapper
from torqueckpt.errors import ConfigNotRight
from torqueckpt.site import config_file, generate, mom, put_config
from torqueckpt.site.mom_systems import SYSTEMS

_DIRECTORY = click.Path(path_type=Path, file_okay=False)


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
        )
        for path in generate.write(output, generate.files(plan, site, current)):
            click.echo(path)
    elif mode == "check":
        _check(plan)
    elif mode == "diff":
        click.echo(config_file.diff(plan), nl=False)
    elif mode == "apply":
        _apply(plan)
    else:
        click.echo(plan.new, nl=False)
    if mode != "check":
        for problem in plan.problems:
            click.echo(str(problem), err=True)
    return 0


def _check(plan: mom.Plan) -> None:
    found = mom.check(plan)
    for problem in found:
        click.echo(str(problem))
    if found:
        raise ConfigNotRight(file=plan.file, count=len(found), which="", consequence="")


def _apply(plan: mom.Plan) -> None:
    if not plan.changes:
        config_file.refuse_if_stopped(plan)
        click.echo(f"{plan.file}: nothing to change")
        return
    try:
        kept = put_config.put(plan)
    except ConfigNotRight:
        for problem in plan.problems:
            click.echo(str(problem), err=True)
        raise
    click.echo(f"{plan.file}: written" + (f", the old one is {kept}" if kept else ""))
    told = put_config.tell_mom(plan)
    click.echo(f"pbs_mom ({told}) reads it again" if told else "no pbs_mom runs here that reads it")


def _node(text: str) -> generate.Node:
    name, _, cores = text.partition(":")
    if cores and not cores.isdigit():
        raise click.BadParameter(f"{text}: NAME:NP, as in n1:16")
    return generate.Node(name, int(cores or os.cpu_count() or 1))


@click.group("configure")
def configure_group() -> None:
    """Have a batch system call torqueckpt: its configuration merged, checked, compared."""


for _name in SYSTEMS:
    configure_group.add_command(mom_command, _name)
configure_group.add_command(configure_lsf.lsf_command)
configure_group.add_command(configure_wrapper.wrapper_command)

COMMANDS = (configure_group,)
