# SPDX-License-Identifier: MIT
"""Attached restore: by a program that stays as the job's parent and ends with its exit status.

Such a program opens the job's files by their names; so the files that the batch system took away
get their old names again for that moment.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path

from torqueckpt import log, run
from torqueckpt.checkpointers.base import Restore
from torqueckpt.errors import ProgramMissing, RestoreFailed, RestoreTimeout
from torqueckpt.files import job_script
from torqueckpt.identity import ProcessId
from torqueckpt.process import privileges, proc, signals
from torqueckpt.restart.detached import be_scheduled
from torqueckpt.restart.output import descriptors
from torqueckpt.restart.plan import RestorePlan
from torqueckpt.safe_files import Directory

_LOOK_SECONDS = 0.01


def restore(plan: RestorePlan) -> tuple[ProcessId, ProcessId]:
    """Start the restore program, our child.

    Gives it and the job's root, which is below it or is it.
    """
    checkpointer, manifest = plan.checkpointer, plan.manifest
    generation = plan.lineage.generation(manifest.generation)
    began, longest = time.monotonic(), 0
    with descriptors(plan.lineage, manifest, plan.intended) as inherited:
        now = [(path, os.readlink(f"/proc/self/fd/{fd}")) for fd, path in inherited]
        moved = tuple((old, new) for old, new in now if old != new)
        asked = Restore(
            *(generation.image_dir, generation.work_dir, manifest.established_tcp, inherited),
            directory=manifest.processes[0].cwd or "/",
            relocated=moved,
        )
        rights = checkpointer.capabilities(asked.established_tcp)
        words, ceiling = checkpointer.restore_argv(asked), manifest.ceiling
        argv = privileges.as_owner_argv(plan.owner, rights, words, ceiling=ceiling)
        output = [fd for fd, _ in inherited[: len(plan.intended.streams)]]
        while True:
            generation.forget_log("restore")
            with _under_old_names(manifest.job.id, manifest.generation, moved):
                checkpointer.before_restore(asked)
                program = _start(argv, output, plan)
                root = _root_below(program, plan, asked)
            if root is not None:
                return program, root
            reason = checkpointer.reason(generation.work_dir, "restore")
            lasts = checkpointer.passes_seconds(reason, plan.settings.pid_wait_seconds)
            longest = max(longest, lasts)
            if not lasts or time.monotonic() - began >= longest:
                reason = (
                    reason or f"{checkpointer.name} ended before the job ran; see the job's stderr"
                )
                raise RestoreFailed(
                    job=manifest.job.id, generation=manifest.generation, reason=reason
                )
            time.sleep(0.5)


def _start(argv: list[str], output: list[int], plan: RestorePlan) -> ProcessId:
    """Start the restore program with root's real ids, its output being the job's own."""
    as_root = 0 if os.geteuid() != 0 else None
    try:
        program = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output[0] if output else subprocess.DEVNULL,
            stderr=output[-1] if output else subprocess.DEVNULL,
            env={"PATH": run.PATH, "LANG": "C.UTF-8"},
            user=as_root,
            group=as_root,
            preexec_fn=partial(_begin, plan),
        )
    except OSError as problem:
        raise ProgramMissing(program=argv[0], problem=problem.strerror) from problem
    program.returncode = 0  # waited for by pid, not by this object
    started = proc.stat(program.pid)
    assert started is not None, "our own child, and not waited for"
    return started.id


def _begin(plan: RestorePlan) -> None:
    run.hold_nothing_back()
    be_scheduled(plan)


def _root_below(program: ProcessId, plan: RestorePlan, asked: Restore) -> ProcessId | None:
    """The job's root once it is restored; None when the program ended before."""
    checkpointer, manifest = plan.checkpointer, plan.manifest
    limit = plan.settings.restore_timeout_seconds
    until = time.monotonic() + limit
    name = manifest.processes[0].name

    def ask(argv: list[str]) -> str:
        question = privileges.as_owner_argv(plan.owner, (), argv)
        return run.run(question, timeout_seconds=10, as_root=True).output

    while time.monotonic() < until:
        if os.waitpid(program.pid, os.WNOHANG)[0]:
            return None
        root = proc.stat(checkpointer.restored_root(program.pid, manifest.exec_pid))
        younger = root is not None and root.start_ticks >= program.start_ticks
        itself = root is not None and younger and checkpointer.is_itself(root.name, name)
        if root is not None and itself and checkpointer.settled(asked, ask):
            return root.id
        time.sleep(_LOOK_SECONDS)
    signals.end_child(program.pid)
    raise RestoreTimeout(job=manifest.job.id, seconds=limit)


@contextmanager
def _under_old_names(job: str, generation: int, moved: Iterable[tuple[str, str]]) -> Iterator[None]:
    """Make links under the names that the image has for files, to where these files lie now."""
    with ExitStack() as made:
        for old, new in moved:
            if not os.path.lexists(old):
                made.callback(_remove, job, old)
                try:
                    _link(job, old, new)
                except OSError as problem:
                    raise RestoreFailed(
                        job=job, generation=generation, reason=f"{old}: {problem.strerror}"
                    ) from problem
        yield


def _link(job: str, old: str, new: str) -> None:
    path = Path(old)
    with _owner_of(job, path), Directory.open(path.parent) as directory:
        directory.link(path.name, new)


def _remove(job: str, old: str) -> None:
    """Remove these links again; the job runs by now, so no failure of this ends it."""
    path = Path(old)
    try:
        with _owner_of(job, path), Directory.open(path.parent) as directory:
            if directory.target(path.name) is not None:
                directory.remove(path.name)
    except OSError as problem:
        log.warning(f"{old}: a link of a restart stays: {problem.strerror}")


@contextmanager
def _owner_of(job: str, path: Path) -> Iterator[None]:
    """Inside, act as root in directories of MOM's that are closed to the job's owner.

    For files of this very job, which MOM has named: he could have named another's, which its MOM
    would then write to.  Ids without a server are not MOM's: rootdoor takes them from anybody.
    """
    own = "." in job and _number(path.name) == _number(job)
    with privileges.acting_as_root() if own and _is_closed(path) else nullcontext():
        yield


def _number(name: str) -> str:
    """The number that a job's id or file name begins with: they write array indices differently."""
    return name[: len(name) - len(name.lstrip("0123456789"))]


def _is_closed(path: Path) -> bool:
    if not job_script.is_moms(path):
        return False
    with privileges.acting_as_root(), Directory.open(path.parent) as directory:
        status = os.fstat(directory.fd)
        return status.st_uid == 0 and not status.st_mode & 0o022
