# SPDX-License-Identifier: MIT
"""Tables on a terminal, and one line a row for grep and awk."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

_GAP = "  "


def show(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """On a terminal cells are folded to its width; else each row is one line, however long."""
    if sys.stdout.isatty():
        _on_terminal(columns, rows)
        return
    widths = [max(map(len, column)) for column in zip(columns, *rows)]
    widths[-1] = 0  # nothing stands behind it
    line = _GAP.join(f"{{:<{width}}}" for width in widths)
    click.echo("\n".join(line.format(*cells).rstrip() for cells in (columns, *rows)))


def _on_terminal(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console  # slow to import
    from rich.table import Table

    made = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    for cells in rows:
        made.add_row(*cells)
    Console(highlight=False, markup=False).print(made)
