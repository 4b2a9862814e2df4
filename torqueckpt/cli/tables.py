# SPDX-License-Identifier: MIT
"""Print tables: on a terminal with colours, elsewhere one line a row for grep and awk."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:  # slow to import, and many a table is for a program
    from rich.table import Table
    from rich.text import Text

T = TypeVar("T")

_WIDE = 250
_WIDEST = 10_000  # no more than the longest row needs is taken


def lines(
    columns: Sequence[str], rows: Sequence[Sequence[str]], folded: Sequence[str] | None = None
) -> None:
    """Print any number of rows; where it is no terminal each is one line, however long.

    folded: the columns that make room on a small terminal; all, unless named.
    """
    if sys.stdout.isatty():
        made = table(*columns)
        for column in made.columns:
            column.no_wrap = folded is not None and column.header not in folded
        for row in rows:
            made.add_row(*row)
        show(made)
        return
    widths = [max(map(len, column)) for column in zip(columns, *rows)]
    widths[-1] = 0  # nothing stands behind it
    line = "  ".join(f"{{:<{width}}}" for width in widths)
    click.echo("\n".join(line.format(*cells).rstrip() for cells in (columns, *rows)))


def table(*columns: str) -> Table:
    from rich.table import Table

    made = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def styled(text: str, style: str) -> Text:
    """Colour a text on a terminal; plain elsewhere and where NO_COLOR is set."""
    from rich.text import Text

    return Text(text, style)


def show(made: Table, *, unfolded: bool = False) -> None:
    """Print a table.  unfolded: where it is no terminal, no row has more than one line."""
    from rich.console import Console

    wide = None if sys.stdout.isatty() else _WIDEST if unfolded else _WIDE
    Console(highlight=False, markup=False, width=wide).print(made)


def size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def watched(found: Iterable[T], told: Callable[[T], str]) -> list[T]:
    """Go through `found`; on a terminal, a line shows the latest meanwhile."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        return list(found)
    every = []
    with console.status("…") as line:
        for each in found:
            every.append(each)
            line.update(Text(told(each)))
    return every
