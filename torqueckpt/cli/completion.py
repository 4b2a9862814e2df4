# SPDX-License-Identifier: MIT
"""torqueckpt completion: what a shell needs to complete commands, options and job ids."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem, get_completion_class

from torqueckpt import budget, log, settings
from torqueckpt.budget import Budget
from torqueckpt.cli import ownership
from torqueckpt.errors import TorqueCkptError
from torqueckpt.store import access

_VARIABLE = "_TORQUECKPT_COMPLETE"


class Job(click.types.StringParamType):
    """A job id as an argument, completed from the jobs that have images."""

    name = "job"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        try:
            return [CompletionItem(job) for job in _jobs() if job.startswith(incomplete)]
        except (TorqueCkptError, OSError):  # nothing to offer is no reason for noise at a prompt
            return []


def _jobs() -> list[str]:
    """The ids of the caller's jobs that have images; for root, everybody's."""
    chosen, found = settings.load(), set()
    for each in ownership.owners(chosen, None):
        part = Budget(each.name, budget.ROUND).part(log.info)
        with part, access.as_owner(each, chosen) as owner_store:
            if owner_store is not None:
                opened = owner_store.lineages()
                found |= {job for lineage in opened for job in owner_store.jobs_of(lineage)}
    return sorted(found)


def complete_jobs(command: click.Command) -> None:
    """Complete job ids in a command's arguments."""
    for each in command.params:
        if each.name == "job":
            each.type = Job()


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(context: click.Context, shell: str) -> None:
    """Print what SHELL reads to complete torqueckpt's commands, options and job ids.

    `make install` puts it where these shells look in its PREFIX; elsewhere:

    \b
    torqueckpt completion bash >~/.local/share/bash-completion/completions/torqueckpt
    torqueckpt completion zsh >/usr/share/zsh/site-functions/_torqueckpt
    torqueckpt completion fish >~/.config/fish/completions/torqueckpt.fish
    """
    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(context.find_root().command, {}, "torqueckpt", _VARIABLE).source())


COMMANDS = (completion_command,)
