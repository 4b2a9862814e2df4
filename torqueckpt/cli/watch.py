# SPDX-License-Identifier: MIT
"""The live line of `torqueckpt run`: state, checkpoints, size and frozen time of the last one."""

from __future__ import annotations

import os
import time
from types import TracebackType

from torqueckpt.batch.local.site import Progress
from torqueckpt.errors import TorqueCkptError
from torqueckpt.identity import Owner
from torqueckpt.images import catalogue
from torqueckpt.settings import Settings

_STATES = {"R": "running", "H": "held", "E": "ending"}


class Display:
    """On a terminal one live line; elsewhere a line for each thing that went wrong."""

    def __init__(self, owner: Owner, settings: Settings) -> None:
        from rich.console import Console  # slow to import, for all other commands too
        from rich.status import Status

        self._owner = owner
        self._settings = settings
        self._out = Console(highlight=False)
        self._errors = Console(stderr=True, highlight=False)
        self._status = Status("", console=self._errors)
        self._seen = 0
        self._last = ""
        self._frozen_seconds = 0.0

    def __enter__(self) -> Display:
        if self._errors.is_terminal:
            self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._status.stop()

    def started(self, job: str) -> None:
        """The job id, as qsub prints it."""
        self._out.print(job)

    def update(self, progress: Progress) -> float:
        """Show the change; gives the newest image's frozen seconds.

        Nothing that goes wrong here may end the MOM: it has a job.
        """
        if progress.checkpoints > self._seen:
            self._seen = progress.checkpoints
            self._look(progress.job)
        try:
            self._show(progress)
        except (OSError, SystemExit):  # rich exits where nobody reads any more
            null = os.open("/dev/null", os.O_WRONLY)
            os.dup2(null, 2)  # Python, too, changes the exit status when it cannot write
            os.close(null)
        return self._frozen_seconds

    def _show(self, progress: Progress) -> None:
        if progress.comment:
            self._errors.print(f"{progress.job}: {progress.comment}", markup=False, soft_wrap=True)
        self._status.update(f"{progress.job} {_STATES[progress.state]}{self._last}")

    def _look(self, job: str) -> None:
        try:
            row = catalogue.rows(self._owner, self._settings, job)[-1]
        except (TorqueCkptError, IndexError, OSError, ValueError):
            self._last = f", {self._seen} checkpoints"
            return
        self._frozen_seconds = row.frozen_ms / 1000
        clock = time.strftime("%H:%M:%S")
        self._last = (
            f", checkpoint {row.generation} at {clock}: "
            f"{row.bytes / 2**20:.1f} MiB, frozen {row.frozen_ms} ms"
        )
