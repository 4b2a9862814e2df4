# SPDX-License-Identifier: MIT
"""What sbatchd tells a POST_EXEC command about the job that has ended (source: LSF's environment
variable reference)."""

from __future__ import annotations

from collections.abc import Mapping

from torqueckpt.identity import job_id
from torqueckpt.process import job_processes

# Of LSB_JOBEXIT_INFO, "SIGNAL -14 SIG_TERM_USER": somebody, or a limit, has ended the job for good.
_KILLED = ("SIG_TERM", "SIG_KILL")
_REQUEUED = "SIG_KILL_REQUEUE"
_CHECKPOINTED = "SIG_CHKPNT"


def job_of(environment: Mapping[str, str]) -> str:
    """12, or 12[3] for a member of an array; InvalidJobId outside of a job."""
    return job_id(job_processes.job_in(environment))


def comes_again(environment: Mapping[str, str], held: bool) -> bool:
    """Whether LSF may start this job again, so that its images are still needed.

    held: the last that happened to the job was an image that ended it.  That is `bchkpnt -k` or
    bmig, unless sbatchd says that the job was killed: a suspended one is when its owner wants so.
    """
    told = environment.get("LSB_JOBEXIT_INFO", "")
    if environment.get("LSB_JOBPEND") or _REQUEUED in told or _CHECKPOINTED in told:
        return True
    return held and not any(word in told for word in _KILLED)
