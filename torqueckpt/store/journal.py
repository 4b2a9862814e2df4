# SPDX-License-Identifier: MIT
"""The owner's journal: one JSON line for each checkpoint, restart and failure."""

from __future__ import annotations

import json
import time

from torqueckpt import log
from torqueckpt.store.store import OwnerStore


def last(store: OwnerStore, name: str, value: str) -> dict[str, object]:
    """The last line in which `name` is `value`; {} when there is none, or none can be read."""
    try:
        lines = store.directory.read("journal").splitlines()
        told = (json.loads(line) for line in reversed(lines))
        return next((each for each in told if each.get(name) == value), {})
    except (OSError, ValueError, AttributeError) as problem:
        log.warning(f"{store.path}/journal: {problem}")
        return {}


def note(store: OwnerStore, event: str, job: str, **facts: object) -> None:
    """Append one line; `event` is checkpoint, restart, delete, or one of them with `-failed`.

    What was done stays done when there is no room to tell of it.
    """
    line = {"time": int(time.time()), "event": event, "job": job, **facts}
    try:
        store.directory.append_line("journal", json.dumps(line))
    except OSError as problem:
        log.warning(f"{store.path}/journal: not written: {problem.strerror}")
