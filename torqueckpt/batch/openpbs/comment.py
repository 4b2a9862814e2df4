# SPDX-License-Identifier: MIT
"""Set a job's comment to what went wrong, since OpenPBS's MOM keeps our messages to itself.

root@node must be an operator or manager of the server; where it is none, nobody is told so.
"""

from __future__ import annotations

import os

from torqueckpt import log
from torqueckpt.errors import TorqueCkptError
from torqueckpt.process import proc
from torqueckpt.settings import Settings

_ANSWER_SECONDS = 10
_WHERE_PBS_IS = "PBS_CONF_FILE"


def comment(job: str, text: str, settings: Settings) -> None:
    """Set the comment; a failure of this is only logged."""
    from torqueckpt.batch import server  # seldom wanted

    as_mom_was_started()
    try:
        with server.connect(settings, timeout_seconds=_ANSWER_SECONDS) as pbs:
            pbs.comment(job, f"torqueckpt: {log.one_line(text)}")
    except TorqueCkptError as refusal:
        log.warning(f"{job}: no comment: {refusal}")


def as_mom_was_started() -> None:
    """Inside, the environment is MOM's, with its pbs.conf; scripts get the job's environment."""
    named = proc.environment(os.getppid()).get(_WHERE_PBS_IS)
    if named:
        os.environ[_WHERE_PBS_IS] = named
