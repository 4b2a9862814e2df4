# SPDX-License-Identifier: MIT
"""Ask LSF's bjobs what became of a job, as the job's owner.

`bjobs -a -w JOB` prints a line for a job that LSF knows, under a line of headings; what is asked
for no more than that, every version has.
"""

from __future__ import annotations

import os

from torqueckpt import run
from torqueckpt.batch.lsf.lsf_conf import Site
from torqueckpt.errors import ProgramMissing
from torqueckpt.identity import Owner
from torqueckpt.process import privileges

_ANSWER_SECONDS = 20
_ENDED = ("DONE", "EXIT", "")
_NOT_FOUND = "is not found"


def is_lsfs(job: str) -> bool:
    """Whether the id is one of LSF's: those of TORQUE and OpenPBS name their server."""
    return "." not in job


def state(job: str, owner: Owner) -> str:
    """The job's state in bjobs' words; "" when LSF does not know it any more.

    ProgramMissing when nobody can be asked.
    """
    names = (job, job.partition("[")[0])  # of an array's member the number alone
    for words in _rows(["-a", "-w", job], owner):
        if len(words) > 2 and words[0] in names:
            return words[2]
    return ""


def says_ended(job: str, owner: Owner) -> bool:
    """Whether LSF says that the job has ended, however that was; ProgramMissing."""
    return state(job, owner) in _ENDED


def has_waiting(owner: Owner) -> bool:
    """Whether any job of the owner's waits to be started; ProgramMissing."""
    return any(words[2:3] == ["PEND"] for words in _rows(["-p", "-w", "-u", owner.name], owner))


def _rows(options: list[str], owner: Owner) -> list[list[str]]:
    """What bjobs prints, in words; none when it finds no job."""
    directory = Site().directory("LSF_BINDIR")
    if directory is None:
        raise ProgramMissing(program="bjobs", problem="LSF_BINDIR is not set, in no lsf.conf")
    program = str(directory / "bjobs")
    argv = [program, *options]
    as_root = os.getuid() == 0
    where = {name: os.environ[name] for name in ("LSF_ENVDIR",) if name in os.environ}
    done = run.run(
        privileges.as_owner_argv(owner, (), argv) if as_root else argv,
        timeout_seconds=_ANSWER_SECONDS,
        environment=where,
        as_root=as_root,
        alone=True,  # it may be a site's script, whose own bjobs hangs
    )
    said = done.output + done.stderr
    if not done.ok and _NOT_FOUND not in said and "job found" not in said:
        raise ProgramMissing(program=program, problem=done.last_line() or "it gave no answer")
    return [line.split() for line in done.output.splitlines()]
