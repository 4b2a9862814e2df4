# SPDX-License-Identifier: MIT
"""chkpnt_script.sh: the shell script that the user's command runs in, so that it can be dumped
apart from the job's starter.

The running shell goes on reading from it, also after a restart; but each image keeps a copy
(files/job_script.py), so that it may lie where LSF moves and removes things.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torqueckpt import log
from torqueckpt.paths import Directory

NAME = "chkpnt_script.sh"
_SHELL = "/bin/sh"  # as LSF's own job file is run
# As in LSF's job file: a signal to the job is for its programs, and this shell waits for them.
_TRAPS = "trap : HUP INT USR1 USR2 TERM"


@contextmanager
def written(command: str, directory: Path | None) -> Iterator[list[str]]:
    """argv that runs the command, from the job's checkpoint directory or a temporary one; without
    a script where neither can be written to: the job comes first."""
    command = f"{_TRAPS}\n{command}"
    text = f"#!{_SHELL}\n{command}\n".encode("utf-8", "surrogateescape")
    if directory is not None and _put(directory, text):
        yield [_SHELL, str(directory / NAME)]
        return
    try:
        own = Path(tempfile.mkdtemp(prefix="torqueckpt-lsf-"))
    except OSError as problem:
        log.warning(f"the job runs without a script of its own: {problem}")
        yield [_SHELL, "-c", command]
        return
    try:
        yield [_SHELL, str(own / NAME)] if _put(own, text) else [_SHELL, "-c", command]
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _put(directory: Path, text: bytes) -> bool:
    try:
        with Directory.open(directory.resolve(strict=True)) as opened:
            opened.write_whole(NAME, text, 0o700)
    except OSError as problem:
        log.warning(f"{directory}: no script there: {problem.strerror}")
        return False
    return True
