# SPDX-License-Identifier: MIT
"""Check that a MOM will run the programs that its config file names, and that root may run them.

TORQUE's MOM wants them there and `u+x` when it reads the file, else it drops the line; OpenPBS's
wants them root's, of a group up to 10, when it runs them.  What others can write must not be run by
root, so that is asked for under both, for the file and the directories above it.  LSF runs its
programs as each job's user: the same is asked for, and that users get at them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from torqueckpt.batch.mom_config import in_file
from torqueckpt.findings import Finding

LAST_SYSTEM_GROUP = 10  # OpenPBS: the number is in its source


def check(
    script: Path, file: str, line: int, *, group_matters: bool, by_users: bool = False
) -> list[Finding]:
    """Find what is wrong with a program that a line of `file` names.

    Each problem stops the writing.

    by_users: it is run as whoever has a job, else as root.
    """
    try:
        status = os.stat(script)
    except OSError as missing:
        remedy = "install it (make install)"
        return [in_file(file, line, f"{script}: {missing.strerror}", remedy, stops=True)]
    return [
        in_file(file, line, f"{script} {reason}", remedy, stops=True)
        for reason, remedy in (
            *_not_runnable(script, status, group_matters),
            *(_closed_to_users(script, status) if by_users else ()),
            *_open_to_others(script, status, "every user runs it" if by_users else "root runs it"),
        )
    ]


def _not_runnable(
    script: Path, status: os.stat_result, group_matters: bool
) -> Iterable[tuple[str, str]]:
    if not stat.S_ISREG(status.st_mode):
        yield "is not a file", "name the program"
    elif not status.st_mode & stat.S_IXUSR:
        yield "is not executable", f"chmod u+x {script}"
    if group_matters and status.st_gid > LAST_SYSTEM_GROUP:
        yield f"has group {status.st_gid}, and OpenPBS wants 0 to 10", f"chgrp 0 {script}"


def _closed_to_users(script: Path, status: os.stat_result) -> Iterable[tuple[str, str]]:
    if not status.st_mode & stat.S_IXOTH or not status.st_mode & stat.S_IROTH:
        yield "cannot be run by users", f"chmod a+rx {script}"
    for above in Path(os.path.realpath(script)).parents:
        if not os.stat(above).st_mode & stat.S_IXOTH:
            yield f"lies below {above}, which users cannot pass", f"chmod a+x {above}"


def _open_to_others(script: Path, status: os.stat_result, who: str) -> Iterable[tuple[str, str]]:
    if status.st_uid != 0:
        yield f"belongs to uid {status.st_uid}, and {who}", f"chown root {script}"
    if status.st_mode & 0o022:
        yield f"can be written by others, and {who}", f"chmod go-w {script}"
    for above in Path(os.path.realpath(script)).parents:
        found = os.stat(above)
        if found.st_uid != 0 or (found.st_mode & 0o002 and not found.st_mode & stat.S_ISVTX):
            yield f"lies below {above}, which others can change", f"chown root, chmod o-w {above}"
