# SPDX-License-Identifier: MIT
"""Remember which directories were the store: settings change, and the images stay where they are.

Beside the settings lies a list of them, root's: `make install` adds its own, and so does each
checkpoint whose store is not in there yet.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from torqueckpt import log, paths
from torqueckpt.settings import Settings

NAME = "stores"  # a path in each line
HOW_TO_GO_ON = "have them moved, or the setting put back (docs/store.md)"

_LARGEST = 64 * 1024  # bytes of the list
_MOST = 20  # that are looked at, the latest


def note(settings: Settings) -> None:
    """Add the present store; where that cannot be, the images are none the worse.  For root."""
    if settings.store in _known():
        return
    try:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(_file(), flags, 0o644)
        try:
            os.fchmod(fd, 0o644)
            os.write(fd, f"{settings.store}\n".encode())
        finally:
            os.close(fd)
    except OSError as problem:
        log.info(f"{NAME}: not written: {problem}")


def others(settings: Settings) -> Iterator[Path]:
    """The directories that were the store before, and are there, the latest last."""
    known = _known()[-_MOST:]
    return (path for path in known if path != settings.store and path.is_dir())


def words(found: list[Path]) -> str:
    """What to add where a job is unknown; "" when no former store knows it either."""
    return f"; {found[-1]}, the store before, has: {HOW_TO_GO_ON}" if found else ""


def _known() -> list[Path]:
    """The stores so far, each once, the latest last."""
    try:
        with open(_file(), "rb") as file:
            lines = os.fsdecode(file.read(_LARGEST)).splitlines()
    except OSError:
        return []
    return [Path(line) for line in dict.fromkeys(reversed(lines)) if line.startswith("/")][::-1]


def _file() -> Path:
    return paths.settings_file().with_name(NAME)
