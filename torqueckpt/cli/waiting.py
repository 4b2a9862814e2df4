# SPDX-License-Identifier: MIT
"""What a restart tells while it lasts: at a terminal how far it is, elsewhere nothing."""

from __future__ import annotations

import sys

from torqueckpt.restart import phases
from torqueckpt.restart.phases import Leaving, Phase


def phase() -> Phase:
    if not sys.stderr.isatty():
        return phases.untold
    from torqueckpt.cli import progress  # rich is slow to import

    return progress.shown


def leaving() -> Leaving:
    if not sys.stderr.isatty():
        return phases.alone
    from torqueckpt.cli import progress

    return progress.beside_the_restore
