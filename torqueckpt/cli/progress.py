# SPDX-License-Identifier: MIT
"""How far a long read or write is: bytes, rate and remaining time, on a terminal's stderr."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    Task,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from torqueckpt import layout, log
from torqueckpt.cli import ownership, tables
from torqueckpt.errors import TorqueCkptError
from torqueckpt.files import intent
from torqueckpt.images import catalogue
from torqueckpt.manifest import Manifest
from torqueckpt.process import memory, proc
from torqueckpt.settings import Settings
from torqueckpt.store.lineage import Lineage

PATIENCE_SECONDS = 1.0  # what takes less is not worth a line
_LOOK_SECONDS = 0.1


class _What(ProgressColumn):
    """Cut off where the line has not the room: job ids hold the names of servers."""

    def render(self, task: Task) -> Text:
        return Text(task.description, no_wrap=True, overflow="ellipsis")


class _Rate(ProgressColumn):
    """Rich's own counts in MB, and all else here in MiB."""

    def render(self, task: Task) -> Text:
        return Text(f"{tables.size(task.speed)}/s" if task.speed else "")


@contextmanager
def shown(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Gives what is to be told each count of bytes; total 0: nobody knows.  Nothing where stderr is
    no terminal."""
    console = Console(stderr=True)
    whole = Column(no_wrap=True)
    columns = (
        _What(),
        BarColumn(),
        DownloadColumn(binary_units=True, table_column=whole.copy()),
        _Rate(table_column=whole.copy()),
        TimeRemainingColumn(table_column=whole.copy()),
    )
    line = Progress(*columns, console=console, transient=True)
    task = line.add_task(what, total=total or None)
    begun = time.monotonic()

    def told(count: int) -> None:
        line.advance(task, count)
        if count and console.is_terminal and time.monotonic() > begun + PATIENCE_SECONDS:
            line.start()

    try:
        yield told
    finally:
        if line.live.is_started:  # else it would end a line that it has not begun
            line.stop()


@contextmanager
def of_the_image(what: str, job: str, settings: Settings) -> Iterator[None]:
    """The same of the image that pbs_mom's program makes of the caller's job meanwhile.

    It is as large as the last one, most likely.  Where a job's first one will lie nobody knows
    before it is there, and root looks at nothing of a user's as root: nothing is shown then.
    """
    try:
        rows = [] if _is_root() else catalogue.rows(ownership.caller(), settings, job)
    except TorqueCkptError:
        rows = []
    if not rows:
        yield
        return
    lineage = layout.of_owner(settings.store, rows[-1].owner) / rows[-1].lineage
    over = threading.Event()

    def look() -> None:
        seen = 0
        while not over.wait(_LOOK_SECONDS):
            now = max(seen, _size(lineage, f"*{layout.PARTIAL}/{layout.IMAGE}/*"))
            told(now - seen)
            seen = now

    with shown(what, rows[-1].bytes) as told:
        looking = threading.Thread(target=look, daemon=True)
        looking.start()
        try:
            yield
        finally:
            over.set()
            looking.join()


def beside_the_restore(lineage: Lineage, manifest: Manifest, lock: int) -> None:
    """Leaves a process that draws how much of the job's memory is back, until the job runs, or the
    caller, who becomes the door, has failed.  It is nobody's child, and holds no lock."""
    door = os.pidfd_open(os.getpid())
    between = os.fork()
    if between:
        os.waitpid(between, 0)
        os.close(door)
        return
    try:
        if os.fork() == 0:
            os.close(lock)
            _draw_the_restore(lineage, manifest, door)
    except Exception as failure:  # it must not unwind the caller's stack
        log.traceback_of(failure)
    finally:
        os._exit(0)


def _draw_the_restore(lineage: Lineage, manifest: Manifest, door: int) -> None:
    seen, total = (
        0,
        0 if manifest.packed else manifest.bytes,
    )  # how much it will be unpacked, nobody knows
    with shown(f"restore generation {manifest.generation}", total) as told:
        while intent.pending(lineage.directory):
            if select.select([door], [], [], _LOOK_SECONDS)[0]:
                return
            tree = [stat for stat in (proc.stat(each.pid) for each in manifest.processes) if stat]
            now = max(seen, memory.to_dump(tree))
            now = min(now, total) if total else now
            told(now - seen)
            seen = now


def _is_root() -> bool:
    return os.getuid() == 0


def _size(directory: Path, pattern: str) -> int:
    total = 0
    for file in directory.glob(pattern):
        try:
            total += file.lstat().st_size
        except OSError:  # renamed meanwhile: it is whole
            continue
    return total
