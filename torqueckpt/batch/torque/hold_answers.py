# SPDX-License-Identifier: MIT
"""Tell a TORQUE server that answers qchkpt and qhold with 15086, though MOM did what was asked.

Its check TRQ-4388 looks for the job under a name that it reads from the wrong member of a request:
all that goes through it to MOM but a signal is "Job not found" (measured with 9335ebb6a, 6.1-dev).
After qhold the job, which has ended with its image, is not held, but starts again at once or is
lost.  No request shows it without touching a job, so version and program are looked at.
"""

from __future__ import annotations

import mmap
import re

from torqueckpt.process.job_processes import running

WHAT = (
    "{version} answers qchkpt and qhold with 15086 though MOM did it (TRQ-4388), and a job that is"
    " held so starts again or is lost"
)
REMEDY = (
    "use `torqueckpt hold JOB` in place of qhold, or run 6.1.3, 6.1.3.h3 or master (docs/torque.md)"
)
_VERSION = re.compile(r"6\.1\.(?:3\.h([0-9]+)|[4-9])(?![0-9])")
_FIRST_HOTFIX = 4
_BRANCH = "6.1-dev"
_CHECK = b"validate_jobid_to_socket"  # its name, in the program's symbols and its log lines


def unclear(version: str) -> bool:
    """Whether the server does so, by its pbs_version, and by its program where that runs here."""
    of_program = _program_has_check()
    return of_version(version) if of_program is None else of_program


def of_version(version: str) -> bool:
    """6.1.3.h4 and h5, and what is built from their branch."""
    found = _VERSION.match(version)
    if found is None:
        return version.startswith(_BRANCH)
    return found.group(1) is None or int(found.group(1)) >= _FIRST_HOTFIX


def _program_has_check() -> bool | None:
    """Whether the program of the pbs_server that runs here has it; None when none does."""
    pid = running("pbs_server")
    return _has_check(f"/proc/{pid}/exe") if pid else None


def _has_check(path: str) -> bool | None:
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return data.find(_CHECK) >= 0
    except (OSError, ValueError):  # it has ended, or may not be read
        return None
