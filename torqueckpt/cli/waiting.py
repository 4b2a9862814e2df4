# SPDX-License-Identifier: MIT
"""What a restart tells while it lasts: at a terminal how far it is, elsewhere nothing."""

from __future__ import annotations

import sys

from torqueckpt.restart import choose
from torqueckpt.restart.choose import BeforeExec, StepProgress


def progress() -> StepProgress:
    if not sys.stderr.isatty():
        return choose.no_progress
    from torqueckpt.cli import progress  # rich is slow to import

    return progress.shown


def before_exec() -> BeforeExec:
    if not sys.stderr.isatty():
        return choose.no_display
    from torqueckpt.cli import progress

    return progress.beside_the_restore
