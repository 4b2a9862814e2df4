# SPDX-License-Identifier: MIT
"""What a new image says, read as the owner for good: the files are his."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import NamedTuple

from torqueckpt import log
from torqueckpt.checkpoint.target import Target
from torqueckpt.checkpointers.base import Checkpointer, Dump, ImageFacts
from torqueckpt.errors import DumpFailed
from torqueckpt.files import build_ids
from torqueckpt.files.record import Look
from torqueckpt.manifest import OpenFile, Process
from torqueckpt.process import proc
from torqueckpt.process.worker import Aside, AsideFailed

_SECONDS = 300  # for reading, once the image is there


class Reader:
    """Made before the dump: by the time that there is an image, its process has imported what
    reading one takes, which is longer than the reading of most.
    """

    def __init__(self, checkpointer: Checkpointer, dump: Dump, target: Target) -> None:
        waits, self._says = os.pipe()

        def told() -> ImageFacts:
            os.close(self._says)
            read_image = checkpointer.image_reader() if checkpointer.tells else None
            if os.read(waits, 1) == b"":
                raise EOFError("there is no image")
            if read_image is None:
                return ImageFacts(_processes(target), (), 0)
            found = read_image(dump.image_dir, dump.work_dir)
            mapped = (file.path for file in found.files if file.fd < 0 and not file.deleted)
            return found._replace(builds=build_ids.of_files(mapped))

        self._job = target.live.job
        self._aside = Aside(target.owner, told, _SECONDS)
        self._running = True
        os.close(waits)

    def close(self) -> None:
        os.close(self._says)
        if self._running:
            self._aside.stop()

    def start(self) -> None:
        """The image is there, and changed no more."""
        self._aside.give(_SECONDS)
        with suppress(BrokenPipeError):  # it was killed: facts() tells
            os.write(self._says, b"\n")

    def facts(self, seen: Look, frozen_before_us: int) -> ImageFacts:
        """What the image says, with what only a look at the files themselves could tell, and with
        the time for which the tree stood still before its dump, at a pre-dump."""
        self._running = False
        try:
            found = self._aside.result(ImageFacts)
        except AsideFailed as failed:
            raise unreadable(self._job, failed) from failed
        files = _completed(found.files, seen) or seen.open
        return found._replace(files=files, frozen_us=found.frozen_us + frozen_before_us)


class _Mended(NamedTuple):
    """How many timers were put right."""

    timers: int


def mend(checkpointer: Checkpointer, dump: Dump, target: Target) -> None:
    """Put right what the checkpointer is known to save wrongly."""
    if not any(to in checkpointer.mends for _, _, to in target.open_files):
        return
    mending = Aside(target.owner, lambda: _Mended(checkpointer.mend(dump.image_dir)))
    try:
        count = mending.result(_Mended).timers
    except AsideFailed as failed:
        raise unreadable(target.live.job, failed) from failed
    if count:
        log.info(f"{target.live.job}: {count} timer(s) that had expired unread armed again")


def unreadable(job: str, why: AsideFailed) -> DumpFailed:
    return DumpFailed(job=job, reason=f"its image cannot be read: {why}")


def _processes(target: Target) -> tuple[Process, ...]:
    return tuple(
        Process(each.pid, each.ppid, each.name, proc.cwd(each.pid)) for each in target.tree
    )


def _completed(files: tuple[OpenFile, ...], seen: Look) -> tuple[OpenFile, ...]:
    looked_at = {(file.pid, file.fd): file for file in seen.open}
    mapped = {file.path for file in seen.open if file.mapped}
    return tuple(
        file._replace(
            device=beside.device,
            inode=beside.inode,
            size=beside.size if beside.fd >= 0 else file.size,
            mapped=file.path in mapped,
        )
        for file in files
        for beside in [looked_at.get((file.pid, file.fd), file)]
    )
