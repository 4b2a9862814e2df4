# SPDX-License-Identifier: MIT
"""Write figures for Prometheus to a file that node_exporter's textfile collector reads.

Images and journals are their owners': labels are names that were checked (lineages, users, our own
errors), so that nobody makes series of his own.
"""

from __future__ import annotations

import inspect
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from torqueckpt import budget, errors, log
from torqueckpt.budget import Budget
from torqueckpt.errors import StoreNotWritable, TorqueCkptError
from torqueckpt.identity import Owner
from torqueckpt.images import catalogue
from torqueckpt.process import worker
from torqueckpt.safe_files import ANY_SIZE, Directory
from torqueckpt.settings import Settings
from torqueckpt.store import access, filesystem, journal

_EVENTS = ("checkpoint", "checkpoint-failed", "restart", "restart-failed")
_MORE_SECONDS = 10  # than an owner's budget: whoever takes them has files that hang
_REASONS = {
    error.exit_code: name
    for name, error in inspect.getmembers(errors, inspect.isclass)
    if issubclass(error, TorqueCkptError)
}


class _Event(NamedTuple):
    """How often the owner's journal has an event with this exit code."""

    event: str
    code: int
    times: int


class _Found(NamedTuple):
    """What a worker found of an owner's; told: who is left out, and why."""

    rows: tuple[catalogue.GenerationRow, ...] = ()
    events: tuple[_Event, ...] = ()
    told: tuple[str, ...] = ()


def text(
    owners: Iterable[Owner], settings: Settings, tell: Callable[[str], None] = log.warning
) -> bytes:
    """All figures of these owners' jobs, in Prometheus's text format.

    tell gets a line for each who is left out.
    """
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    registry = CollectorRegistry()

    def gauge(name: str, told: str, *labels: str) -> Gauge:
        return Gauge(f"torqueckpt_{name}", told, labels, registry=registry)

    age = gauge("newest_image_age_seconds", "Since a job's newest image", "user", "job")
    size = gauge("newest_image_bytes", "Size of a job's newest image", "user", "job")
    frozen = gauge("newest_image_frozen_seconds", "How long it kept the job", "user", "job")
    count = gauge("images", "Images that a job has", "user", "job")
    total = gauge("images_bytes", "Size of all images of a job", "user", "job")
    events = gauge("events", "Checkpoints and restarts in the journals", "user", "event")
    failed = gauge("failures", "Those that failed, by torqueckpt-exit-codes(7)", "event", "reason")
    free = gauge("store_free_bytes", "What users may still write to the store")
    gauge("written_timestamp_seconds", "When these figures were taken").set_to_current_time()
    now = time.time()
    failures: Counter[tuple[str, str]] = Counter()
    for owner in owners:
        found = _of_owner(owner, settings, tell)
        for row in found.rows:  # oldest first: the newest one is told last
            labels = (owner.name, row.lineage)
            count.labels(*labels).inc()
            total.labels(*labels).inc(row.bytes)
            if row.whole:
                taken = datetime.fromisoformat(row.created).timestamp()
                age.labels(*labels).set(max(now - taken, 0))
                size.labels(*labels).set(row.bytes)
                frozen.labels(*labels).set(row.frozen_ms / 1000)
        for event, code, times in found.events:
            events.labels(owner.name, event).inc(times)
            if event.endswith("-failed"):
                failures[event, _REASONS.get(code, "other")] += times
    for (event, reason), times in failures.items():
        failed.labels(event, reason).set(times)
    with access.open_store(settings).root as store:
        free.set(filesystem.free(store))
    return bytes(generate_latest(registry))


def _of_owner(owner: Owner, settings: Settings, tell: Callable[[str], None]) -> _Found:
    """What there is of an owner's; nothing where he costs too much, or his files hang."""

    def work() -> _Found:
        found, told = _Found(), list[str]()
        with Budget(owner.name, budget.FIGURES).part(told.append):
            rows = tuple(catalogue.rows(owner, settings, None))
            counted = Counter(_events(owner, settings))
            found = _Found(rows, tuple(_Event(*key, times) for key, times in counted.items()))
        return found._replace(told=tuple(told))

    seconds = budget.FIGURES.seconds + _MORE_SECONDS
    found = worker.of_owner(owner.name, work, _Found, seconds, tell)
    if found is None:
        return _Found()
    for line in found.told:
        tell(line)
    return found


def write(path: Path, data: bytes) -> None:
    """Write the file whole, readable by all."""
    try:
        with Directory.open(path.parent) as directory:
            directory.write_whole(path.name, data, 0o644, limit=ANY_SIZE)
    except OSError as problem:
        raise StoreNotWritable(path=path, problem=problem.strerror) from problem


def _events(owner: Owner, settings: Settings) -> Iterable[tuple[str, int]]:
    """Each (event, exit code) in the owner's journal, which he can write himself."""
    with access.as_owner(owner, settings) as owner_store:
        for line in journal.since(owner_store, 0) if owner_store is not None else ():
            event, code = line.get("event"), line.get("code")
            if event in _EVENTS:
                yield str(event), code if type(code) is int else 0
