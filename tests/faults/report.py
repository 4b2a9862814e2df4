# SPDX-License-Identifier: MIT
"""The table of docs/reliability.md: each row is written by the test that counted it.

TORQUECKPT_REPORT=docs/reliability.md   makes a run of the tests put its rows there
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import date
from pathlib import Path

END = "<!-- end of table -->"


@dataclass(frozen=True)
class Table:
    """Three columns hold what must be 0: a row is there because its test has demanded that."""

    name: str
    what: str
    times: str
    zeros: tuple[str, str, str]
    told: str

    @property
    def begin(self) -> str:
        return f"<!-- table of {self.name}: written by the tests -->"

    @property
    def head(self) -> str:
        names = (self.what, self.times, *self.zeros, self.told, "command", "when")
        return f"| {' | '.join(names)} |\n|---|---:|---:|---:|---:|---|---|---|\n"


_LOSSES = ("jobs lost", "images lost", "left behind")
FAULTS = Table("faults", "what was done", "times", _LOSSES, "figures")
_BREACHES = ("escalations", "hangs", "tracebacks")
INPUTS = Table("inputs", "what was put in", "inputs", _BREACHES, "tests")


@dataclass(frozen=True)
class Row:
    """One situation, and how often it was made; told is in words."""

    what: str
    times: int
    told: str
    command: str

    def line(self) -> str:
        when = f"{date.today().isoformat()}, Linux {platform.release().split('-')[0]}"
        cells = (self.what, str(self.times), "0", "0", "0", self.told, f"`{self.command}`", when)
        return f"| {' | '.join(cells)} |"


def write(rows: list[Row], table: Table = FAULTS) -> None:
    """Put them into the file that the environment names, in place of older ones; else nowhere."""
    name = os.environ.get("TORQUECKPT_REPORT")
    if not name or not rows:
        return
    file = Path(name)
    file.write_text(replaced(file.read_text(), rows, table))


def replaced(page: str, rows: list[Row], table: Table = FAULTS) -> str:
    before, _, rest = page.partition(table.begin)
    old, _, after = rest.partition(END)
    found = (line for line in old.splitlines()[3:] if line.startswith("| "))
    lines = {line[2:].partition(" | ")[0]: line for line in found}
    lines |= {row.what: row.line() for row in rows}
    body = "\n".join(lines[what] for what in sorted(lines))
    return f"{before}{table.begin}\n{table.head}{body}\n{END}{after}"
