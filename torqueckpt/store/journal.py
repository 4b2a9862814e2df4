# SPDX-License-Identifier: MIT
"""The owner's journal: one JSON line for each checkpoint, restart and failure."""

from __future__ import annotations

import json
import os
import time

from torqueckpt import log
from torqueckpt.store.store import OwnerStore

_LATEST = 4 * 1024 * 1024  # it only ever grows


def last(store: OwnerStore, name: str, value: str) -> dict[str, object]:
    """The last line in which `name` is `value`; {} when none is of late, or none can be read."""
    try:
        lines = _latest_lines(store)
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


def _latest_lines(store: OwnerStore) -> list[bytes]:
    with os.fdopen(store.directory.open_file("journal", os.O_RDONLY), "rb") as file:
        before = max(os.fstat(file.fileno()).st_size - _LATEST, 0)
        file.seek(before)
        return file.read(_LATEST).splitlines()[1 if before else 0 :]
