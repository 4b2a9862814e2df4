# SPDX-License-Identifier: MIT
"""Tables on a terminal, and one line a row for grep and awk."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table


def table(*columns: str) -> Table:
    made = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def show(made: Table) -> None:
    wide = None if sys.stdout.isatty() else 250
    Console(highlight=False, markup=False, width=wide).print(made)
