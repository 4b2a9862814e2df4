# SPDX-License-Identifier: MIT
"""Read a job's tasks and nodes as pbs_mom has written them down (source: job.h, task_save()).

MOM calls once for each task, one after the other, the job's script first.  That would be dumped,
and ended, before another task is refused: so the call for the script looks at all of them.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from torqueckpt import log
from torqueckpt.errors import SeveralTasks
from torqueckpt.safe_files import Directory

_FIRST = "00000001"
# The end of a task's file: status, session id, exit status, and 16 numbers that are reserved.
_STATUS_AND_SID = struct.Struct("=ii")
_BEFORE_THE_END = 8 + 4 + 16 * 4
_EMBRYO, _RUNNING = 0, 1


def refuse_several(job: str, sid: int, node_file: str) -> None:
    """Refuse with SeveralTasks a job that runs more than its script, here or elsewhere.

    node_file is MOM's $PBS_NODEFILE, PBS_HOME/aux/JOBID; "" (a call by hand): not looked at.
    """
    if not node_file:
        return
    try:
        hosts = set(_read(Path(node_file)).decode().split())
        tasks = Path(node_file).parent.parent / "mom_priv" / "jobs" / f"{job}.TK"
        others = _others(tasks, sid)
    except (OSError, ValueError) as unreadable:  # of another release: that does not stop us
        log.warning(f"{job}: its tasks are not known: {unreadable}")
        return
    if len(hosts) > 1:
        raise SeveralTasks(job=job, what=f"it has {len(hosts)} nodes")
    if others:
        raise SeveralTasks(job=job, what=f"beside its script runs {', '.join(others)}")


def _others(directory: Path, sid: int) -> list[str]:
    with Directory.open(directory.resolve()) as opened:
        found = {name: _status_and_sid(opened.read(name)) for name in opened.names()}
    known = found.pop(_FIRST, None) == (_RUNNING, sid)
    return [
        f"task {int(name, 16)} (session {session})" if known else f"task {int(name, 16)}"
        for name, (status, session) in found.items()
        if not known or status in (_EMBRYO, _RUNNING)  # unknown numbers: each of them may run
    ]


def _status_and_sid(data: bytes) -> tuple[int, int]:
    if len(data) < _BEFORE_THE_END:
        return _EMBRYO, 0
    status, sid = _STATUS_AND_SID.unpack_from(data, len(data) - _BEFORE_THE_END)
    return status, sid


def _read(path: Path) -> bytes:
    with Directory.open(path.parent.resolve()) as directory:
        return directory.read(os.path.basename(path))
