# SPDX-License-Identifier: MIT
"""Why a checkpoint or restart failed, in a few words, so that the same causes count as one."""

from __future__ import annotations

import re

from torqueckpt import log
from torqueckpt.errors import CannotBeDumped, DumpFailed, RestoreFailed, RestoreTimeout

_BY_THE_CHECKPOINTER = (RestoreFailed.exit_code, RestoreTimeout.exit_code)
_LONGEST = 100  # characters of a reason that is not known
_SOCKETS = re.compile(r"\b(?:socket|TCP|UDP|connection)", re.IGNORECASE)
_PID_TAKEN = re.compile(r"\bpid \d+|process number", re.IGNORECASE)


def in_words(event: str, code: int | None, reason: str, left_out: bool) -> str:
    """event: checkpoint-failed or restart-failed; left_out: processes that its image lacks."""
    refused = code in (CannotBeDumped.exit_code, DumpFailed.exit_code, None)
    if event.startswith("checkpoint") and refused and _SOCKETS.search(reason):
        return "open sockets"
    if event.startswith("checkpoint") and code is not None:
        return f"checkpoint failed (code {code})"
    if event.startswith("restart") and code in _BY_THE_CHECKPOINTER:
        if left_out:
            return "restore failed (processes with PPID 1)"
        if _PID_TAKEN.search(reason):
            return "restore failed (process numbers in use)"
    if event.startswith("restart") and code is not None:
        return f"restore failed (code {code})"
    shown = log.one_line(reason) or event
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"
