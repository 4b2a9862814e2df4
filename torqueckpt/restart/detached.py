# SPDX-License-Identifier: MIT
"""Having the checkpointer restore: descriptors handed over, taken pids waited for."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from torqueckpt import log, paths, run
from torqueckpt.batch import pointer
from torqueckpt.checkpointers.base import Checkpointer, Restore
from torqueckpt.errors import (
    ImageDamaged,
    ManifestTorn,
    OutputNotAFile,
    PointerMissing,
    RestoreFailed,
    RestoreTimeout,
    TorqueCkptError,
)
from torqueckpt.files import intent, job_script, stdio
from torqueckpt.identity import Owner, ProcessId
from torqueckpt.images import catalogue
from torqueckpt.manifest import Manifest
from torqueckpt.process import monotonic_waits, privileges, proc, signals, tree
from torqueckpt.records import Intent, LiveStream
from torqueckpt.restart import image_view
from torqueckpt.restart.verify import VARIABLE, Beside
from torqueckpt.settings import Settings
from torqueckpt.store.generation import Generation
from torqueckpt.store.lineage import Lineage

# Where stdout and stderr of an image go now: stream name → the file, kept still as in the image.
Outputs = Callable[[Manifest], dict[str, LiveStream]]

# As everywhere: a terminal that its owner names must not become that of the program.
_APPEND = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def own_outputs(made: Manifest) -> dict[str, LiveStream]:
    """In a new job: our own stdout and stderr, which must be regular files."""
    found = {}
    for fd, name in stdio.NAMES.items():
        for stream in made.streams:
            if stream.name == name:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise OutputNotAFile(stream=name, job=made.job.id)
                path = os.readlink(f"/proc/self/fd/{fd}")
                found[name] = _live_stream(fd, name, path, stream.kept)
    return found


def spooled_outputs(made: Manifest) -> dict[str, LiveStream]:
    """Restarted in place: the spool files that MOM has made anew under their old names."""
    found = {}
    for stream in made.streams:
        try:
            fd = os.open(stream.path, _APPEND | os.O_CREAT, 0o600)
        except OSError as problem:
            raise RestoreFailed(
                job=made.job.id,
                generation=made.generation,
                reason=f"{stream.path}: {problem.strerror}",
            ) from problem
        try:
            found[stream.name] = _live_stream(fd, stream.name, stream.path, stream.kept)
        finally:
            os.close(fd)
    return found


def open_stream(stream: LiveStream) -> int:
    """Its file for appending, checked to be the one that was looked at."""
    fd = os.open(stream.path, _APPEND)
    status = os.fstat(fd)
    if (status.st_dev, status.st_ino) != (stream.device, stream.inode):
        os.close(fd)
        raise OSError(errno.ESTALE, "replaced by another file meanwhile", stream.path)
    return fd


@contextmanager
def opened_stream(stream: LiveStream) -> Iterator[int]:
    fd = open_stream(stream)
    try:
        yield fd
    finally:
        os.close(fd)


def as_written_now(streams: tuple[LiveStream, ...]) -> tuple[LiveStream, ...]:
    """One stream for each file: a new job may join (-j oe) what the old one had apart."""
    files = {(each.device, each.inode): each for each in reversed(streams)}
    return tuple(each for each in streams if files[each.device, each.inode] is each)


def tell_in_output(job: str, who: Owner, settings: Settings, line: str) -> None:
    """Add a line to the job's stderr (where joined, its stdout): there its owner will look."""
    try:
        with catalogue.lineage_of(job, who, settings) as (_, lineage):
            made = lineage.generation(lineage.numbers()[-1]).manifest()
            stream = made.streams[-1]
            fd = os.open(stream.path, _APPEND)
            try:
                os.write(fd, f"torqueckpt: {log.one_line(line)}\n".encode())
            finally:
                os.close(fd)
    except (TorqueCkptError, OSError, IndexError) as untold:
        log.warning(f"{job}: not told in its output: {untold}")


def refuse_without_pointer(
    job: str, directory: Path, name: str, who: Owner, settings: Settings
) -> None:
    """PointerMissing when nothing is where MOM expects an image; it is there again after this.

    TORQUE's MOM looks for it once this program has been started, and then requeues the job at once
    and again and again: what was restored meanwhile would run beside the job.
    """
    with privileges.acting_as(who):
        if os.path.exists(directory / name):  # MOM follows links
            return
        with catalogue.lineage_of(job, who, settings) as (_, lineage):
            pointer.make_place(directory)
            pointer.write(directory, name, lineage.name, max(lineage.numbers(), default=0))
    raise PointerMissing(job=job, path=directory / name)


def tell_of_another_boot(made: Manifest, plan: Intent) -> None:
    """Say in the job's stderr which processes a clock that began anew may keep waiting, or wake."""
    if made.boot_id == proc.boot_id():
        return
    ahead = monotonic_waits.now() - made.monotonic_seconds
    told = f"{abs(ahead)} s {'ahead of' if ahead > 0 else 'behind'} the checkpoint's"
    log.info(f"{plan.job}: booted since, or another node: the monotonic clock is {told}")
    waited = [f"{each.pid} ({each.name})" for each in made.processes if each.pid in made.waiting]
    if not waited:
        return
    how = "stop waiting too early" if ahead > 0 else f"wait for up to {-ahead} s too long"
    line = f"restarted after a boot, or on another node, with a clock {told}: "
    line = log.one_line(f"torqueckpt: {line}{', '.join(waited)} waited by it and may {how}")
    log.warning(line)
    try:
        for stream in plan.streams[-1:]:
            with opened_stream(stream) as fd:
                os.write(fd, f"{line}\n".encode("utf-8", "backslashreplace"))
    except OSError as untold:  # the job runs already
        log.warning(f"{plan.job}: not told in its output: {untold}")


def intended(lineage: Lineage, made: Manifest) -> Intent:
    plan = intent.read(lineage.directory)
    if plan is None or plan.generation != made.generation:
        raise ManifestTorn(path=lineage.path, problem="no restart of this generation was prepared")
    known = {stream.name for stream in made.streams}
    for stream in plan.streams:  # the plan is the owner's word
        try:
            if stream.name not in known:
                raise ValueError(f"the image has no {stream.name}")
            os.close(open_stream(stream))
        except (OSError, ValueError) as problem:
            reason = f"{stream.path}: {problem}"
            raise RestoreFailed(
                job=made.job.id, generation=made.generation, reason=reason
            ) from problem
    return plan


def restore(
    checkpointer: Checkpointer,
    lineage: Lineage,
    made: Manifest,
    plan: Intent,
    who: Owner,
    lock: int,
    settings: Settings,
    beside: Beside | None = None,
) -> ProcessId:
    """The restored root, our own child.

    What passes is waited for: a taken pid is often a zombie's whose parent has not looked yet.
    While what is done `beside` goes on, the restored tree stands still.
    """
    generation = lineage.generation(made.generation)
    began, longest = time.monotonic(), 0
    edited = {name: lineage.path / intent.EDITED / name for name in plan.edited}
    sight = _in_sight(checkpointer, generation, made, who, edited)
    with descriptors(lineage, made, plan) as inherited, sight as image_dir:
        work_dir, tcp = generation.work_dir, made.established_tcp
        plain = Restore(image_dir, work_dir, tcp, inherited, streamed=made.packed)
        while True:
            generation.forget_log("restore")
            waits_at = beside.waits_at() if beside is not None else ()
            at_freeze = paths.installation() / "at-freeze" if waits_at else None
            argv = checkpointer.restore_argv(plain._replace(at_freeze=at_freeze))
            limit = settings.restore_timeout_seconds
            limit += round(beside.seconds) if waits_at and beside is not None else 0
            told = {VARIABLE: str(waits_at[0])} if waits_at else {}
            finished = run.run(
                privileges.as_owner_argv(who, checkpointer.capabilities(tcp), argv),
                timeout_seconds=limit,
                environment={"XDG_RUNTIME_DIR": str(work_dir), **told},
                keep_fds=(lock, *waits_at, *(fd for fd, _ in inherited)),
                as_root=True,
                end_what_it_left=lambda: _end_what_was_left(checkpointer, made.exec_pid),
            )
            if finished.ok:
                break
            signals.end_child(made.exec_pid)
            reason = checkpointer.reason(generation.work_dir, "restore") or finished.last_line()
            reason = reason or f"{checkpointer.name} ended with {finished.status}"
            lasts = checkpointer.passes_seconds(reason, settings.pid_wait_seconds)
            longest = max(longest, lasts)
            if finished.status is not None and lasts and time.monotonic() - began < longest:
                time.sleep(0.5)
                continue
            if beside is not None:
                beside.refuse_damaged()  # the better reason, and then there may be another image
            if finished.status is None:
                raise RestoreTimeout(job=made.job.id, seconds=limit)
            raise RestoreFailed(job=made.job.id, generation=made.generation, reason=reason)
    if beside is not None:
        try:
            beside.refuse_damaged()  # known by now, if at-freeze has waited
        except ImageDamaged:
            signals.end_child(made.exec_pid)
            raise
        beside.close()
    root = proc.stat(made.exec_pid)
    if root is None or root.ppid != os.getpid():
        raise RestoreFailed(
            job=made.job.id,
            generation=made.generation,
            reason=f"process {made.exec_pid} did not become a child of its supervisor",
        )
    return root.id


@contextmanager
def _in_sight(
    checkpointer: Checkpointer,
    generation: Generation,
    made: Manifest,
    who: Owner,
    edited: dict[str, Path],
) -> Iterator[Path]:
    """Where the restore finds the image; one that has compressed files is handed to it there."""
    with image_view.image(checkpointer, generation, made, who, edited) as image_dir:
        if not made.packed:
            yield image_dir
            return
        try:
            from torqueckpt.restart import serving  # slow to import, and seldom wanted
        except ImportError as missing:
            raise RestoreFailed(
                job=made.job.id,
                generation=made.generation,
                reason=f"it is compressed, and this node cannot unpack it: {missing}",
            ) from missing
        with serving.served(checkpointer.stream(), image_dir, who):
            yield image_dir


def _end_what_was_left(checkpointer: Checkpointer, root_pid: int) -> None:
    """The half of a tree that a killed restore has made, and its own helpers, in our session."""
    signals.end_child(root_pid)
    me, name = proc.still_me(), Path(checkpointer.program).name
    ours = (each for each in tree.session(os.getsid(0)) if each.name == name)
    signals.send_all(
        (each.id for each in ours if each.start_ticks >= me.start_ticks), signal.SIGKILL
    )


def unlock(lock: int) -> None:
    """Let go of the lock for every copy of its descriptor, also those in other programs."""
    fcntl.flock(lock, fcntl.LOCK_UN)


@contextmanager
def descriptors(
    lineage: Lineage, made: Manifest, plan: Intent
) -> Iterator[tuple[tuple[int, str], ...]]:
    """Each file that the batch system took away, open, with the path that the image knows."""
    opened: list[tuple[int, str]] = []
    paths = {stream.name: stream.path for stream in made.streams}
    try:
        with beside_its_image(made):
            for stream in plan.streams:
                opened.append((open_stream(stream), paths[stream.name]))
                os.lseek(opened[-1][0], 0, os.SEEK_END)  # some put the job's own flags on it again
            with lineage.directory.make("kept") as directory:
                opened += job_script.open_copies(directory, made.kept)
        yield tuple(opened)
    finally:
        for fd, _ in opened:
            os.close(fd)


@contextmanager
def beside_its_image(made: Manifest) -> Iterator[None]:
    """OSError on what was kept with the image, the output above all, as ImageDamaged."""
    try:
        yield
    except OSError as problem:
        what = f"{problem.filename}: " if problem.filename else ""
        raise ImageDamaged(
            job=made.job.id, generation=made.generation, problem=f"{what}{problem.strerror}"
        ) from problem


def _live_stream(fd: int, name: str, path: str, kept_name: str) -> LiveStream:
    status = os.fstat(fd)
    return LiveStream(name, path, status.st_dev, status.st_ino, status.st_size, kept_name)
