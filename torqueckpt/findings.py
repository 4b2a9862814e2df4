# SPDX-License-Identifier: MIT
"""What a look at a job, an image, a configuration or a node has found, in one form for all."""

from __future__ import annotations

from typing import NamedTuple

from torqueckpt.errors import TorqueCkptError

# How grave it is, of jobs, images and configurations
REFUSED = "refused"  # what was asked for is not done while it is so
HAZARD = "hazard"  # it is done, and yet not all is as it was or should be
NOTE = "note"  # good to know
OK = "ok"
# and of nodes, beside OK: not fit for checkpoints; fit, and something is to be done
FAILURE = "failure"
WARNING = "warning"


class Process(NamedTuple):
    pid: int
    name: str

    def __str__(self) -> str:
        return f"process {self.pid} ({self.name})"


class Line(NamedTuple):
    """A line of a file; number 0 means the file as a whole."""

    file: str
    number: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.number}" if self.number else self.file


class Finding(NamedTuple):
    """One fact: how grave, about what, why it matters, what to do about it, and where it was seen.

    What does not apply is "" or None.  error is what a restart fails with then, None where the
    reasons of several findings are told together.
    """

    severity: str
    subject: str
    what: str
    remedy: str = ""
    where: Process | Line | None = None
    error: TorqueCkptError | None = None

    def __str__(self) -> str:
        about = ", ".join(str(each) for each in (self.where, self.subject) if each)
        return f"{about}: {self.what}; {self.remedy}" if self.remedy else f"{about}: {self.what}"
