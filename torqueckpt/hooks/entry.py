# SPDX-License-Identifier: MIT
"""Run a hook's one action: errors become one line and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from torqueckpt import log
from torqueckpt.errors import InternalError, TorqueCkptError
from torqueckpt.rights import begin


def run_hook(program: str, action: Callable[[], int], own_failure: int | None = None) -> int:
    """Run the action; gives its exit status, or an error's exit code, its message on stderr.

    own_failure replaces the code where the status belongs to the job.
    """
    os.umask(0o077)
    _open_what_is_closed()
    log.start(program)
    try:
        return action()
    except TorqueCkptError as failure:
        told = failure
    except Exception as failure:
        log.traceback_of(failure)
        told = InternalError(what=f"{type(failure).__name__}: {failure}")
    log.error(str(told))
    print(log.one_line(str(told)), file=sys.stderr)
    return told.exit_code if own_failure is None else own_failure


def run_root_hook(
    program: str,
    action: Callable[[], int],
    own_failure: int | None = None,
    from_users: bool = False,
) -> int:
    """The same for a program of root's, which begins with nothing that its caller has left it."""

    def begun() -> int:
        begin.begin(program, from_users)
        return action()

    return run_hook(program, begun, own_failure)


def _open_what_is_closed() -> None:
    """Open /dev/null for closed streams.

    OpenPBS closes 0 to 2, and no other file may become stdin.
    """
    while True:
        fd = os.open("/dev/null", os.O_RDWR)
        if fd > 2:
            os.close(fd)
            return
        os.set_inheritable(fd, True)
