# SPDX-License-Identifier: MIT
"""Having the checkpointer dump and read back, and telling why when it does not."""

from __future__ import annotations

import os
import re
from pathlib import Path

from torqueckpt import run
from torqueckpt.actions.target import Target
from torqueckpt.checkpointers.base import Checkpointer, Dump, ImageFacts
from torqueckpt.errors import (
    CheckpointerMissing,
    CheckpointerTooOld,
    DumpFailed,
    DumpTimeout,
    JobEnded,
    KernelTooOld,
    ProgramMissing,
    StoreFull,
)
from torqueckpt.process import become, proc, tree
from torqueckpt.process.aside import Aside, AsideFailed
from torqueckpt.settings import Settings
from torqueckpt.store.generation import Generation

_ROOM_FOR_A_LOG = 64 * 1024


def usable_version(checkpointer: Checkpointer) -> str:
    """The installed version, once it is clear that program and kernel are new enough."""
    found = _numbers(os.uname().release)[:2]
    if found < checkpointer.needs_kernel:
        needed = ".".join(map(str, checkpointer.needs_kernel))
        raise KernelTooOld(found=os.uname().release, needed=needed)
    installed = _version(checkpointer)
    if _numbers(installed) < checkpointer.needs_version:
        needed = ".".join(map(str, checkpointer.needs_version))
        raise CheckpointerTooOld(program=checkpointer.program, found=installed, needed=needed)
    return installed


def _version(checkpointer: Checkpointer) -> str:
    try:
        answer = run.run(checkpointer.version_argv(), timeout_seconds=10)
    except ProgramMissing as missing:
        raise CheckpointerMissing(name=checkpointer.name, program=checkpointer.program) from missing
    return checkpointer.version(answer.output) or "unknown"


def plan(target: Target, generation: Generation, stopped: bool) -> Dump:
    return Dump(
        exec_pid=target.root.pid,
        image_dir=generation.image_dir,
        work_dir=generation.work_dir,
        stopped=stopped,
        established_tcp=tree.has_established_tcp(target.root.pid, target.open_files),
    )


def dump(
    checkpointer: Checkpointer, dump: Dump, target: Target, lock: int, settings: Settings
) -> int:
    """Run the dump as the owner; gives its wall time in ms.

    It inherits the lineage's lock, so that one that outlives its caller still holds it.
    """
    job = target.live.job
    proc.still(target.root.id)
    finished = run.run(
        become.as_owner_argv(
            target.owner,
            checkpointer.capabilities(dump.established_tcp),
            checkpointer.dump_argv(dump),
        ),
        timeout_seconds=settings.dump_timeout_seconds,
        environment={"XDG_RUNTIME_DIR": str(dump.work_dir)},
        keep_fds=(lock,),
        as_root=True,
    )
    if finished.status is None:
        raise DumpTimeout(job=job, seconds=settings.dump_timeout_seconds)
    if not finished.ok:
        if proc.alive(target.root.id) is None:
            raise JobEnded(job=job, pid=target.root.pid)
        if _no_room(dump.work_dir):
            raise StoreFull(path=settings.store, problem="no room for another image")
        reason = checkpointer.reason(dump.work_dir, "dump") or finished.last_line()
        raise DumpFailed(job=job, reason=reason or f"{finished.program} gave no reason")
    missing = checkpointer.incomplete(dump)
    if missing:
        raise DumpFailed(job=job, reason=missing)
    return finished.wall_ms


def read(checkpointer: Checkpointer, dump: Dump, target: Target) -> Aside[ImageFacts]:
    """Start reading the image, as the owner for good; facts() waits for the result."""
    return Aside(target.owner, lambda: checkpointer.read_image(dump.image_dir, dump.work_dir))


def facts(reading: Aside[ImageFacts], job: str) -> ImageFacts:
    try:
        return reading.result(ImageFacts)
    except AsideFailed as unreadable:
        raise DumpFailed(job=job, reason=f"its image cannot be read: {unreadable}") from unreadable


def _no_room(directory: Path) -> bool:
    """A checkpointer that ran out of room may not even have had the room to say so."""
    left = os.statvfs(directory)
    return left.f_bavail * left.f_frsize < _ROOM_FOR_A_LOG


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]+", version)[:3])
