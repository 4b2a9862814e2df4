# SPDX-License-Identifier: MIT
"""Speaking to the batch server from a node, with the library that the settings name."""

from __future__ import annotations

from pathlib import Path

from torqueckpt.ifl import Connection
from torqueckpt.ifl.library import Library
from torqueckpt.settings import Settings


def connect(settings: Settings, server: str | None = None, timeout_seconds: int = 60) -> Connection:
    """An open connection; None is the default server.

    The errors are torqueckpt.ifl's: LibraryNotFound, CannotConnect…
    """
    named = settings.pbs_library
    library = None if named == Path("/") else Library(str(named))
    return Connection(server, timeout_seconds=timeout_seconds, library=library)
