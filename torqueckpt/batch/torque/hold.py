# SPDX-License-Identifier: MIT
"""Keep a TORQUE job whose restart failed: it is requeued and held for another try.

MOM takes our exit status for the job's, so a mere failure would complete the job.  What works on
6.x (measured): a system hold, then a rerun of the job, whose images MOM does not touch; its
processes, this program among them, are killed then.  root@node must be an operator of the server.
"""

from __future__ import annotations

import time

from torqueckpt import log
from torqueckpt.errors import TorqueCkptError
from torqueckpt.settings import Settings

_ANSWER_SECONDS = 30
_KILLED_WITHIN_SECONDS = 60


def keep_held(job: str, why: str, settings: Settings) -> None:
    """Hold and requeue the job, then wait to be killed; returns when the server does not do it.

    A job of the local MOM is no server's, though one may have given the same id.
    """
    if (settings.local_home / "mom_priv" / "jobs" / f"{job}.JB").exists():
        return
    from torqueckpt.batch import server  # seldom wanted

    try:
        with server.connect(settings, timeout_seconds=_ANSWER_SECONDS) as pbs:
            pbs.alter(job, {"Hold_Types": "s"})
            pbs.comment(job, f"restart failed, held: {why}; then qrls -h s {job}")
            pbs.rerun(job)
    except TorqueCkptError as refusal:
        log.error(f"{job}: the server does not hold it: {refusal}")
        return
    time.sleep(_KILLED_WITHIN_SECONDS)
    log.error(f"{job}: held and requeued, but MOM does not end this restart")
