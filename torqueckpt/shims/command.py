# SPDX-License-Identifier: MIT
"""Run a shim's one action: an error is one line, unless it is to be quiet."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from torqueckpt import log
from torqueckpt.errors import TorqueCkptError
from torqueckpt.rights import begin

BLCR = "0.8.5, by torqueckpt on top of CRIU"  # whose options the cr_ commands have


def run(program: str, quiet: bool, action: Callable[[], int]) -> int:
    """Run the action; gives its exit status, or an error's exit code (docs/exit-codes.md)."""
    log.start(program)
    try:
        begin.refuse_odd_rights(program)
        return action()
    except TorqueCkptError as failure:
        log.error(str(failure))
        if not quiet:
            print(f"{program}: {log.one_line(str(failure))}", file=sys.stderr)
        return failure.exit_code


def process_id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**31):
        raise argparse.ArgumentTypeError(f"{text!r} is no process id")
    return int(text)


def place(text: str) -> Path:
    """Parse a name for an image; a slash at its end is no part of it."""
    return Path.cwd() / text
