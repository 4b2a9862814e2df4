# SPDX-License-Identifier: MIT
"""torqueckpt COMMAND: the click group, and the one place where an error becomes an exit."""

from __future__ import annotations

import importlib
import sys

import click

from torqueckpt import __version__, log
from torqueckpt.cli import completion
from torqueckpt.errors import OWN_FAILURE, InternalError, TorqueCkptError
from torqueckpt.rights import begin

# Their exit status is the job's, so that all of our own failures are one number.
_STATUS_IS_THE_JOBS = ("run", "resume", "link")


# Module of cli → its COMMANDS, by name.  One is imported when a command of it is called: with all
# of them each call would take twice as long.
_MODULES = {
    "run": ("run", "checkpoint", "hold", "release"),
    "resume": ("resume-job", "resume"),
    "images": ("list", "verify", "delete", "prune", "held"),
    "show": ("show", "diff"),
    "configure": ("configure",),
    "chain": ("submit", "status", "cancel", "link", "link-ended"),
    "node": ("periodic", "last-checkpoint", "drain", "modules"),
    "report": ("report", "metrics"),
    "completion": ("completion",),
    "doctor": ("doctor",),
    "interval": ("interval",),
    "preflight": ("preflight",),
}


class Commands(click.Group):
    """All commands, each added when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(name for names in _MODULES.values() for name in names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for module, names in _MODULES.items():
            if cmd_name in names and cmd_name not in self.commands:
                self._add(module)
        return super().get_command(ctx, cmd_name)

    def _add(self, module: str) -> None:
        for command in importlib.import_module(f"torqueckpt.cli.{module}").COMMANDS:
            completion.complete_jobs(command)
            self.add_command(command)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="torqueckpt")
def cli() -> None:
    """Checkpoint and restart batch jobs."""
    begin.refuse_odd_rights("torqueckpt")


def whole() -> click.Group:
    """The group with all of its commands in it, for those who look through it."""
    context = click.Context(cli)
    for name in cli.list_commands(context):
        assert cli.get_command(context, name) is not None, name
    assert sorted(cli.commands) == cli.list_commands(context)
    return cli


def main(argv: list[str]) -> int:
    """Run a command; gives its exit status."""
    log.start("torqueckpt")
    own = argv[0] if argv else ""
    try:
        status = cli.main(args=argv, prog_name="torqueckpt", standalone_mode=False)
        return status if isinstance(status, int) else 0
    except click.exceptions.Abort:
        return 130
    except click.ClickException as misuse:
        misuse.show()
        return OWN_FAILURE if own in _STATUS_IS_THE_JOBS else misuse.exit_code
    except TorqueCkptError as failure:
        told = failure
    except Exception as failure:
        log.traceback_of(failure)
        told = InternalError(what=f"{type(failure).__name__}: {failure}")
    log.error(str(told))
    print(f"torqueckpt: {log.one_line(str(told))}", file=sys.stderr)
    return OWN_FAILURE if own in _STATUS_IS_THE_JOBS else told.exit_code
