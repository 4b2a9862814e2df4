# SPDX-License-Identifier: MIT
"""Say what a running job feels of a dump without the library that continues its system calls.

CRIU alone (measured on 4.2.1) ends sleep, poll and their like with EINTR, and select late.
"""

from __future__ import annotations

from pathlib import Path

from torqueckpt.findings import NOTE, Finding
from torqueckpt.process.resources import Holdings, finding

WHAT = (
    "each checkpoint may end what it waits in early (EINTR) or late, and what a signal should end"
    " meanwhile may go on: {library} is missing"
)
REMEDY = "install a C compiler and run make install again (x86-64)"


def findings(held: Holdings, library: Path) -> list[Finding]:
    root = next(iter(held.tree.values()), None)
    if root is None or library.is_file():
        return []
    what = WHAT.format(library=library.name)
    return [finding(NOTE, root, "system calls that wait", what, REMEDY)]
