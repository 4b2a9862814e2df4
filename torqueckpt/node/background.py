# SPDX-License-Identifier: MIT
"""Run workers in the background of the periodic service, one at a time for each name."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from torqueckpt.process.worker import RootWorker, WorkerFailed

_LOOK_SECONDS = 0.05


class Done(NamedTuple):
    """What a worker reports that has done something; what went wrong, line by line."""

    problems: tuple[str, ...] = ()


class Background:
    """The workers that run; tell: of what a name stands for, the lines that went wrong."""

    def __init__(self, tell: Callable[[str, tuple[str, ...]], None]) -> None:
        self._tell = tell
        self._all: dict[str, tuple[RootWorker[Done], Callable[[], object]]] = {}

    def begin(
        self, name: str, worker: RootWorker[Done], undo: Callable[[], object] = lambda: None
    ) -> None:
        """Have it run on; undo is called when it has failed.  The name must be free."""
        self._all[name] = worker, undo

    def is_free(self, name: str) -> bool:
        """Whether no worker does this just now; one that is done tells what went wrong."""
        if name not in self._all:
            return True
        worker, undo = self._all[name]
        if not worker.is_over():
            return False
        del self._all[name]
        try:
            self._tell(name, worker.result(Done).problems)
        except WorkerFailed as failed:
            undo()
            self._tell(name, (f"{name}: {failed}",))
        return True

    def wait(self) -> None:
        """Wait until none runs any more."""
        while not all(map(self.is_free, list(self._all))):
            time.sleep(_LOOK_SECONDS)
