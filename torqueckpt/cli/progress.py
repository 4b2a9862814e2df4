# SPDX-License-Identifier: MIT
"""Draw progress bars on a terminal's stderr.

Bytes, rate and remaining time of a long read or write.
"""

from __future__ import annotations

import os
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

from torqueckpt import layout
from torqueckpt.cli import ownership, tables
from torqueckpt.errors import TorqueCkptError
from torqueckpt.images import catalogue
from torqueckpt.settings import Settings

PATIENCE_SECONDS = 1.0  # what takes less is not worth a line
_LOOK_SECONDS = 0.1


class _What(ProgressColumn):
    """The description, cut off where the line is too short: job ids hold the names of servers."""

    def render(self, task: Task) -> Text:
        return Text(task.description, no_wrap=True, overflow="ellipsis")


class _Rate(ProgressColumn):
    """Bytes a second in MiB, as everywhere here; rich itself counts in MB."""

    def render(self, task: Task) -> Text:
        return Text(f"{tables.size(task.speed)}/s" if task.speed else "")


@contextmanager
def shown(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Inside, draw a bar; gives a function that is called with each number of bytes.

    total 0: unknown.  Nothing is drawn where stderr is no terminal.
    """
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

    def advance(count: int) -> None:
        line.advance(task, count)
        if count and console.is_terminal and time.monotonic() > begun + PATIENCE_SECONDS:
            line.start()

    try:
        yield advance
    finally:
        if line.live.is_started:  # else it would end a line that it has not begun
            line.stop()


@contextmanager
def of_the_image(what: str, job: str, settings: Settings) -> Iterator[None]:
    """Inside, draw a bar of the image that pbs_mom's program makes of the caller's job.

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
    done = threading.Event()

    def look() -> None:
        seen = 0
        while not done.wait(_LOOK_SECONDS):
            now = max(seen, _size(lineage, f"*{layout.PARTIAL}/{layout.IMAGE}/*"))
            advance(now - seen)
            seen = now

    with shown(what, rows[-1].bytes) as advance:
        looking = threading.Thread(target=look, daemon=True)
        looking.start()
        try:
            yield
        finally:
            done.set()
            looking.join()


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
