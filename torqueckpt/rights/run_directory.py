# SPDX-License-Identifier: MIT
"""Make a directory of root's in /run for one dump or restore; the next removes a killed one's."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from torqueckpt.process import privileges
from torqueckpt.safe_files import Directory

PLACE = Path("/run")
NAME = "torqueckpt-"


def make(what: str = "") -> Directory:
    """Make one that is locked, and so is kept, until its last descriptor is closed; as root."""
    place = Directory.open(PLACE.resolve())
    _sweep(place)
    while True:
        name = f"{NAME}{what}{os.urandom(8).hex()}"
        os.mkdir(name, 0o700, dir_fd=place.fd)
        with suppress(FileNotFoundError):  # another one has swept it before it was locked
            made = place.sub(name)
            fcntl.flock(made.fd, fcntl.LOCK_EX)
            os.stat(name, dir_fd=place.fd)
            return made


def remove(path: Path) -> None:
    """Remove one, whoever we act as; it may be gone."""
    with privileges.acting_as_root(), Directory.open(PLACE.resolve()) as place:
        place.remove_tree(path.name)


def _sweep(place: Directory) -> None:
    """Remove the directories of killed programs: those that nobody holds a lock on.

    A process number would not do, a process in another container may share /run.
    """
    for name in place.names():
        if name.startswith(NAME):
            try:
                with place.sub(name) as left:
                    fcntl.flock(left.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    place.remove_tree(name)
            except OSError:  # in use, or just gone
                continue
