# SPDX-License-Identifier: MIT
"""torqueckpt modules: the kernel modules of the SGI Altix checkpointer."""

from __future__ import annotations

import click

from torqueckpt import settings
from torqueckpt.site import altix_modules

_NOT_LOADED = 3  # as LSB's status has it: not running


@click.command("modules")
@click.argument(
    "verb", metavar="load|unload|status", type=click.Choice(["load", "unload", "status"])
)
def modules_command(verb: str) -> int:
    """Load or unload syscover.ko and ckpt.ko from modules_dir, or tell which are loaded.

    \b
    torqueckpt modules load

    \b
    0  they are as asked        3  status: one of them is not loaded
    """
    kernel = altix_modules.Kernel()
    if verb == "load":
        _tell("loaded", altix_modules.load(settings.load(), kernel))
    elif verb == "unload":
        _tell("unloaded", altix_modules.unload(kernel))
    else:
        gone = altix_modules.missing(kernel)
        for name in altix_modules.ORDER:
            click.echo(f"{name}: {'not loaded' if name in gone else 'loaded'}")
        return _NOT_LOADED if gone else 0
    return 0


def _tell(what: str, names: list[str]) -> None:
    click.echo(f"{what}: {', '.join(names)}" if names else f"nothing to do, all is {what}")


COMMANDS = (modules_command,)
