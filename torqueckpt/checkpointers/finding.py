# SPDX-License-Identifier: MIT
"""What stands in the way of a checkpoint, or of a good restart."""

from __future__ import annotations

from typing import NamedTuple

from torqueckpt.process.proc import Stat

REFUSED = "refused"  # the checkpointer does not dump it, or could never restore it
HAZARD = "hazard"  # dumped and restored, and yet not as it was
NOTE = "note"  # good to know
CONNECTION = "TCP connection to"  # how the object of a finding on one begins


class Finding(NamedTuple):
    """One fact: which process has what, why that matters, what to do about it."""

    severity: str
    pid: int
    process: str
    object: str
    what: str
    remedy: str

    @property
    def is_connection(self) -> bool:
        return self.object.startswith(CONNECTION)

    def __str__(self) -> str:
        return f"process {self.pid} ({self.process}), {self.object}: {self.what}; {self.remedy}"


def finding(severity: str, process: Stat, thing: str, what: str, remedy: str) -> Finding:
    return Finding(severity, process.pid, process.name, thing, what, remedy)
