# SPDX-License-Identifier: MIT
"""Whether the files that an image has open are still as the checkpointer needs them.

CRIU reopens every file by its name; one that was not opened for append must have exactly the size
that it had at the freeze.  Nothing is changed here; all problems are found before anything is.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from torqueckpt.manifest import OpenFile

_ACCESS = os.O_RDONLY | os.O_WRONLY | os.O_RDWR


def problems(files: Iterable[OpenFile], handed_over: set[str]) -> list[str]:
    """One phrase for each file that would make the restore fail, `handed_over` paths left out."""
    found: dict[str, str] = {}
    for file in files:
        if file.deleted or file.path in handed_over:
            continue
        problem = _problem(file)
        if problem:
            found[file.path] = problem
    return [f"{path} {problem}" for path, problem in found.items()]


def _problem(file: OpenFile) -> str:
    try:
        status = os.stat(file.path)
    except OSError as problem:
        return f"cannot be reached ({problem.strerror})"
    if not stat.S_ISREG(status.st_mode):
        return "is no regular file any more"
    appended = file.flags & os.O_APPEND and file.flags & _ACCESS == os.O_WRONLY
    if status.st_size != file.size and not appended:
        return f"has {status.st_size} bytes, {file.size} at the checkpoint"
    return ""
