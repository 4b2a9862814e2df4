# SPDX-License-Identifier: MIT
"""torqueckpt COMMAND: the click group, and the one place where an error becomes an exit."""

from __future__ import annotations

import sys

import click

from torqueckpt import __version__, log
from torqueckpt.cli import (
    chain,
    completion,
    configure,
    doctor,
    images,
    interval,
    node,
    preflight,
    report,
    resume,
    run,
    show,
)
from torqueckpt.errors import OWN_FAILURE, InternalError, TorqueCkptError

# Their exit status is the job's, so that all of our own failures are one number.
_STATUS_IS_THE_JOBS = ("run", "resume", "link")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="torqueckpt")
def cli() -> None:
    """Checkpoint and restart batch jobs."""


for _command in (
    *run.COMMANDS,
    *resume.COMMANDS,
    *images.COMMANDS,
    *show.COMMANDS,
    *configure.COMMANDS,
    *chain.COMMANDS,
    *node.COMMANDS,
    *report.COMMANDS,
    completion.completion_command,
    doctor.doctor_command,
    interval.interval_command,
    preflight.preflight_command,
):
    completion.complete_jobs(_command)
    cli.add_command(_command)


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
