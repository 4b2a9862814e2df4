# SPDX-License-Identifier: MIT
"""The owner's journal: one JSON line for each checkpoint, restart and failure."""

from __future__ import annotations

import json
import time

from torqueckpt.store.store import OwnerStore


def note(store: OwnerStore, event: str, job: str, **facts: object) -> None:
    """Append one line; `event` is checkpoint, restart, delete, or one of them with `-failed`."""
    line = {"time": int(time.time()), "event": event, "job": job, **facts}
    store.directory.append_line("journal", json.dumps(line))
