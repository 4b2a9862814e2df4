# SPDX-License-Identifier: MIT
"""What a restart tells while it lasts: at a terminal how far it is, elsewhere nothing."""

from __future__ import annotations

import sys

from torqueckpt.restart import choose
from torqueckpt.restart.choose import Leaving, Phase


def phase() -> Phase:
    if not sys.stderr.isatty():
        return choose.untold
    from torqueckpt.cli import progress  # rich is slow to import

    return progress.shown


def leaving() -> Leaving:
    if not sys.stderr.isatty():
        return choose.alone
    from torqueckpt.cli import progress

    return progress.beside_the_restore
