# SPDX-License-Identifier: MIT
"""Parse OpenPBS's $action calls, as `torqueckpt configure openpbs` writes them (mom_config.py).

mom-checkpoint openpbs %sid %jobid %login %taskid %path 0|15
mom-restart    openpbs %sid %jobid %login %taskid %path requeue

Without the last word, as earlier versions wrote it, the restart stays as the job.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from torqueckpt.errors import BadArguments
from torqueckpt.identity import job_id
from torqueckpt.request import CheckpointRequest, RestartRequest

REQUEUE = "requeue"
WORD = "openpbs"  # tells these calls from TORQUE's, which begin with a number
_USAGE = "openpbs SID JOBID LOGIN TASKID PATH"
_FIRST_TASK = 1


class ActionCall(NamedTuple):
    """One call; sid is negative at a restart after a hold, and then unused."""

    sid: int
    job_id: str
    owner: str
    directory: Path
    name: str
    end: bool
    requeue: bool = False

    @classmethod
    def checkpoint(cls, argv: list[str]) -> ActionCall:
        if len(argv) != 7 or argv[6] not in ("0", "15"):
            raise _refuse("mom-checkpoint", f"{len(argv)} words, or neither 0 nor 15 at the end")
        call = cls._parse("mom-checkpoint", argv[:6], argv[6] == "15")
        if call.sid < 2:
            raise _refuse("mom-checkpoint", f"session id {call.sid} is no process number")
        return call

    @classmethod
    def restart(cls, argv: list[str]) -> ActionCall:
        if len(argv) != 6 and (len(argv) != 7 or argv[6] != REQUEUE):
            raise _refuse("mom-restart", f"{len(argv)} words, or another than {REQUEUE} at the end")
        call = cls._parse("mom-restart", argv[:6], end=False)
        return call._replace(requeue=len(argv) == 7)

    def to_checkpoint(self) -> CheckpointRequest:
        return CheckpointRequest(
            sid=self.sid,
            job_id=self.job_id,
            owner=self.owner,
            name=self.name,
            pointer_dir=self.directory,
            pointer_by_root=True,
            end=self.end,
        )

    def to_restart(self, hint: int | None) -> RestartRequest:
        return RestartRequest(job_id=self.job_id, present_job=self.job_id, hint=hint)

    @classmethod
    def _parse(cls, program: str, argv: list[str], end: bool) -> ActionCall:
        _, sid, job, login, task, path = argv
        if not re.fullmatch(r"-?[0-9]{1,9}", sid):
            raise _refuse(program, f"session id {sid!r} is no number")
        if not re.fullmatch(r"[0-9A-Fa-f]{1,8}", task):
            raise _refuse(program, f"task {task!r} is no number")
        if int(task, 16) != _FIRST_TASK:
            raise _refuse(program, f"task {task}: a job of several tasks cannot be checkpointed")
        place = Path(path)
        if not place.is_absolute() or ".." in place.parts or not place.name:
            raise _refuse(program, f"path {path!r} is not an absolute path")
        return cls(int(sid), job_id(job), login, place.parent, place.name, end)


def _refuse(program: str, problem: str) -> BadArguments:
    return BadArguments(program=program, problem=problem, usage=_USAGE)
