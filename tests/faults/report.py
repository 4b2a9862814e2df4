# SPDX-License-Identifier: MIT
"""The table of docs/reliability.md: each row is written by the test that counted it.

TORQUECKPT_REPORT=docs/reliability.md   makes a run of the tests put its rows there
"""

from __future__ import annotations

import os
import platform
import re
from dataclasses import astuple, dataclass
from datetime import date
from pathlib import Path

BEGIN = "<!-- table: written by the tests -->"
END = "<!-- end of table -->"
_HEAD = (
    "| what was done | times | jobs lost | images lost | left behind | figures | command | when |\n"
    "|---|---:|---:|---:|---:|---|---|---|\n"
)
_ROW = re.compile(r"^\| (?!what was done)(.+?) \|.*$", re.MULTILINE)


@dataclass(frozen=True)
class Row:
    """One situation: how often it was made, what it cost; figures are measured ones, in words."""

    what: str
    times: int
    jobs_lost: int
    images_lost: int
    left_behind: int
    figures: str
    command: str

    def line(self) -> str:
        kernel = platform.release().split("-")[0]
        when = f"{date.today().isoformat()}, Linux {kernel}"
        *cells, command = astuple(self)
        return "| " + " | ".join([*map(str, cells), f"`{command}`", when]) + " |"


def write(rows: list[Row]) -> None:
    """Put them into the file that the environment names, in place of older ones; else nowhere."""
    name = os.environ.get("TORQUECKPT_REPORT")
    if not name or not rows:
        return
    file = Path(name)
    file.write_text(replaced(file.read_text(), rows))


def replaced(page: str, rows: list[Row]) -> str:
    before, _, rest = page.partition(BEGIN)
    table, _, after = rest.partition(END)
    lines = {match.group(1): match.group(0) for match in _ROW.finditer(table)}
    lines |= {row.what: row.line() for row in rows}
    body = "\n".join(lines[what] for what in sorted(lines) if not what.startswith("---"))
    return f"{before}{BEGIN}\n{_HEAD}{body}\n{END}{after}"
