# SPDX-License-Identifier: MIT
"""What the periodic service does once in a while, in the background: prune, and write metrics."""

from __future__ import annotations

import math
import time

from torqueckpt import budget, log
from torqueckpt.batch.server import connect
from torqueckpt.images import prune
from torqueckpt.node.background import Background, Done
from torqueckpt.process.worker import RootWorker
from torqueckpt.reports import metrics
from torqueckpt.settings import Settings
from torqueckpt.store import access

PRUNE, METRICS = NAMES = ("prune", "metrics")  # what problems are told of
_MEASURED = 60  # seconds from one writing of the metrics to the next
_PRUNE_SECONDS = 6 * 3600.0  # a store may be large and slow, and nobody waits for it
_FIGURES_SECONDS = 3600.0  # some owners' files may hang, one after the other
_MEMORY_MIB = 2048


class Housekeeping:
    """Prunes the store and writes the metrics, each when its time has come."""

    def __init__(self, settings: Settings, background: Background) -> None:
        self._settings, self._background = settings, background
        self._pruned = -math.inf
        self._measured = -math.inf

    def prune(self, server: str | None) -> None:
        """Have images removed that the settings no longer keep, at the interval they name."""
        pause = self._settings.prune_interval_minutes * 60
        if not self._background.is_free(PRUNE) or not pause:
            return
        if time.monotonic() < self._pruned + pause:
            return
        self._pruned = time.monotonic()

        def work() -> Done:
            connect(self._settings, server).close()  # without a server it is left for later
            prune.prune(None, self._settings, lambda: connect(self._settings, server))
            return Done()

        self._background.begin(PRUNE, RootWorker(work, _PRUNE_SECONDS))

    def measure(self) -> None:
        """Have the metrics written, once a minute, where the settings name a file."""
        if not self._settings.writes_metrics() or not self._background.is_free(METRICS):
            return
        if time.monotonic() < self._measured + _MEASURED:
            return
        self._measured = time.monotonic()

        def work() -> Done:
            told: list[str] = []
            data = metrics.text(access.owners(self._settings), self._settings, told.append)
            metrics.write(self._settings.metrics_textfile, data)
            return Done(tuple(told))

        worker = RootWorker(work, _FIGURES_SECONDS, memory_mib=_MEMORY_MIB)
        self._background.begin(METRICS, worker)


def write_metrics(settings: Settings) -> None:
    """Write the metrics now, where the settings name a file; no server is needed for it."""
    if not settings.writes_metrics():
        return
    try:
        data = metrics.text(access.owners(settings), settings)
        metrics.write(settings.metrics_textfile, data)
    except Exception as failure:
        log.warning(f"no figures for Prometheus: {budget.words(failure)}")
