# SPDX-License-Identifier: MIT
"""Decide at a restart where stdout and stderr go, what is cut from them, and what is put back."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torqueckpt import layout, log
from torqueckpt.errors import (
    ImageDamaged,
    NoImage,
    OutputNotAFile,
    RestoreFailed,
    TorqueCkptError,
)
from torqueckpt.files import job_script, stdio
from torqueckpt.identity import Owner
from torqueckpt.manifest import Manifest, Stream
from torqueckpt.process import monotonic_waits, proc
from torqueckpt.records import Cut, Intent, LiveStream
from torqueckpt.restart.choose import StepProgress
from torqueckpt.restart.plan import Attempt
from torqueckpt.settings import Settings
from torqueckpt.store import access
from torqueckpt.store.lineage import Lineage

# Where stdout and stderr of an image go now: stream name → the file, kept still as in the image.
Outputs = Callable[[Manifest], dict[str, LiveStream]]


# As everywhere: a terminal that its owner names must not become that of the program.
_APPEND = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def own_outputs(manifest: Manifest) -> dict[str, LiveStream]:
    """For a restart in a new job: our own stdout and stderr, which must be regular files."""
    found = {}
    for fd, name in stdio.NAMES.items():
        for stream in manifest.streams:
            if stream.name == name:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise OutputNotAFile(stream=name, job=manifest.job.id)
                path = os.readlink(f"/proc/self/fd/{fd}")
                found[name] = _live_stream(fd, name, path, stream.kept)
    return found


def spooled_outputs(manifest: Manifest) -> dict[str, LiveStream]:
    """For a restart in place: the spool files that MOM has made anew under their old names."""
    found = {}
    for stream in manifest.streams:
        try:
            fd = os.open(stream.path, _APPEND | os.O_CREAT, 0o600)
        except OSError as problem:
            raise RestoreFailed(
                job=manifest.job.id,
                generation=manifest.generation,
                reason=f"{stream.path}: {problem.strerror}",
            ) from problem
        try:
            found[stream.name] = _live_stream(fd, stream.name, stream.path, stream.kept)
        finally:
            os.close(fd)
    return found


def open_stream(stream: LiveStream) -> int:
    """Open a stream's file for appending, checked to be the one that was looked at before."""
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
    """Drop streams that share a file: a new job may join (-j oe) what the old one had apart."""
    files = {(each.device, each.inode): each for each in reversed(streams)}
    return tuple(each for each in streams if files[each.device, each.inode] is each)


def tell_in_output(job: str, owner: Owner, settings: Settings, line: str) -> None:
    """Add a line to the job's stderr, or joined stdout, where its owner will look."""
    try:
        with access.lineage_of(job, owner, settings) as (_, lineage):
            newest = lineage.newest()
            if newest is None:
                raise NoImage(job=job, which="")
            stream = newest.manifest().streams[-1]
            fd = os.open(stream.path, _APPEND)
            try:
                os.write(fd, f"torqueckpt: {log.one_line(line)}\n".encode())
            finally:
                os.close(fd)
    except (TorqueCkptError, OSError, IndexError) as failure:
        log.warning(f"{job}: not written to its output: {failure}")


def tell_of_another_boot(manifest: Manifest, plan: Intent) -> None:
    """Name, in the job's stderr, the processes that a clock begun anew keeps waiting, or wakes."""
    if manifest.boot_id == proc.boot_id():
        return
    ahead = monotonic_waits.now() - manifest.monotonic_seconds
    told = f"{abs(ahead)} s {'ahead of' if ahead > 0 else 'behind'} the checkpoint's"
    log.info(f"{plan.job}: booted since, or another node: the monotonic clock is {told}")
    waited = [
        f"{each.pid} ({each.name})" for each in manifest.processes if each.pid in manifest.waiting
    ]
    if not waited:
        return
    how = "stop waiting too early" if ahead > 0 else f"wait for up to {-ahead} s too long"
    line = f"restarted after a boot, or on another node, with a clock {told}: "
    _tell(plan, f"{line}{', '.join(waited)} waited by it and may {how}")


def tell_of_newer(lineage: Lineage, manifest: Manifest, plan: Intent) -> None:
    """Name, in the job's stderr, newer images that would not come back, and were left."""
    newer = (each for each in lineage.numbers() if each > manifest.generation)
    left = [str(each) for each in newer if lineage.is_doubtful(each)]
    if left:
        line = f"goes on from generation {manifest.generation}, since {', '.join(left)} would not"
        _tell(plan, f"{line} come back (torqueckpt list says why)")


def tell_of_stopped(manifest: Manifest, plan: Intent) -> None:
    """Name, in the job's stderr, processes that were stopped, and that nobody continues now."""
    stopped = (each for each in manifest.processes if each.stopped)
    still = [each for each in stopped if each.pid not in manifest.suspended]
    if still:
        named = ", ".join(f"{each.pid} ({each.name})" for each in still)
        numbers = " ".join(str(each.pid) for each in still)
        line = f"stopped at the checkpoint, and again now: {named}"
        _tell(plan, f"{line}; kill -CONT {numbers} continues them")


def _tell(plan: Intent, line: str) -> None:
    line = log.one_line(f"torqueckpt: {line}")
    log.warning(line)
    try:
        for stream in plan.streams[-1:]:
            with opened_stream(stream) as fd:
                os.write(fd, f"{line}\n".encode("utf-8", "backslashreplace"))
    except OSError as failure:  # the job runs already
        log.warning(f"{plan.job}: not written to its output: {failure}")


@contextmanager
def descriptors(
    lineage: Lineage, manifest: Manifest, plan: Intent
) -> Iterator[tuple[tuple[int, str], ...]]:
    """Open each file that the batch system took away.

    Gives (descriptor, path that the image knows).
    """
    opened: list[tuple[int, str]] = []
    paths = {stream.name: stream.path for stream in manifest.streams}
    try:
        with beside_its_image(manifest):
            for stream in plan.streams:
                opened.append((open_stream(stream), paths[stream.name]))
                os.lseek(opened[-1][0], 0, os.SEEK_END)  # some put the job's own flags on it again
            with lineage.directory.make(layout.KEPT) as directory:
                opened += job_script.open_copies(directory, manifest.kept)
        yield tuple(opened)
    finally:
        for fd, _ in opened:
            os.close(fd)


@contextmanager
def beside_its_image(manifest: Manifest) -> Iterator[None]:
    """Inside, an OSError on files kept with the image, its output above all, is an ImageDamaged."""
    try:
        yield
    except OSError as problem:
        what = f"{problem.filename}: " if problem.filename else ""
        raise ImageDamaged(
            job=manifest.job.id, generation=manifest.generation, problem=f"{what}{problem.strerror}"
        ) from problem


def _live_stream(fd: int, name: str, path: str, kept_name: str) -> LiveStream:
    status = os.fstat(fd)
    return LiveStream(name, path, status.st_dev, status.st_ino, status.st_size, kept_name)


def plan(lineage: Lineage, manifest: Manifest, attempt: Attempt, present_job: str) -> Intent:
    """Plan which files the output goes to, and which of them still hold what was written so far."""
    streams, cuts = [], []
    with beside_its_image(manifest), lineage.directory.make(layout.OUTPUT) as output:
        for stream in manifest.streams:
            kept = stdio.branch(output, stream, _needed_by_others(lineage, manifest, stream))
            now = attempt.streams[stream.name]._replace(kept=kept)
            with opened_stream(now) as target:
                if stdio.holds(output, stream, target):
                    now = now._replace(base=0)
                    cuts.append(Cut(stream.name, stream.size, f"{attempt.id}.{stream.name}"))
            streams.append(now)
    return Intent(attempt.id, present_job, manifest.generation, tuple(streams), tuple(cuts))


def _needed_by_others(lineage: Lineage, manifest: Manifest, stream: Stream) -> int:
    """The largest size that another generation needs of the stream's kept file."""
    sizes = [0]
    for generation in lineage.generations():
        if generation.number == manifest.generation:
            continue
        try:
            others = generation.manifest().streams
        except TorqueCkptError as torn:
            log.warning(str(torn))
            continue
        sizes += [other.size for other in others if other.kept == stream.kept]
    return max(sizes)


def fill(lineage: Lineage, manifest: Manifest, plan: Intent, progress: StepProgress) -> None:
    """Bring each new stream to what it held at the freeze."""
    now = {stream.name: stream for stream in plan.streams}
    cuts = {cut.name: cut for cut in plan.cuts}
    total = sum(stream.size for stream in manifest.streams if stream.name not in cuts)
    output_so_far, beside = progress("put the output so far back", total), lineage.directory
    with beside_its_image(manifest), output_so_far as written, beside.sub(layout.OUTPUT) as output:
        for stream in manifest.streams:
            with opened_stream(now[stream.name]) as target:
                if stream.name in cuts:
                    stdio.cut(lineage.directory, cuts[stream.name], target)
                else:
                    stdio.replay(output, stream, target, written)
