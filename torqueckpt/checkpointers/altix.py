# SPDX-License-Identifier: MIT
"""SGI Altix kernel-level checkpointing: chkpnt and resume (source: the guide of 2005 for TORQUE).

Only the options in the settings' defaults are documented; a site can change them there.
"""

from __future__ import annotations

from pathlib import Path

from torqueckpt.checkpointers.base import Checkpointer, Dump, Restore
from torqueckpt.settings import Settings


class Altix(Checkpointer):
    """chkpnt and resume print no version; `torqueckpt modules` tells of their kernel modules."""

    name = "altix"
    has_freeze_hook = False
    stays_as_parent = True

    def __init__(self, settings: Settings) -> None:
        self.program = settings.altix_dir / "chkpnt"
        self._resume = settings.altix_dir / "resume"
        self._dump_options = settings.altix_dump_options
        self._restore_options = settings.altix_restore_options

    def version_argv(self) -> list[str]:
        return []

    def dump_argv(self, dump: Dump) -> list[str]:
        words = {"%pid": str(dump.exec_pid), "%dir": str(dump.image_dir)}
        return [str(self.program), *(words.get(word, word) for word in self._dump_options)]

    def restore_argv(self, restore: Restore) -> list[str]:
        words = {"%cwd": restore.directory, "%dir": str(restore.image_dir)}
        return [str(self._resume), *(words.get(word, word) for word in self._restore_options)]

    def incomplete(self, dump: Dump) -> str:
        """Look whether there is an image: what the exit status means is documented nowhere."""
        try:
            return "" if any(dump.image_dir.iterdir()) else "chkpnt left no file of an image"
        except OSError as problem:
            return f"the image directory: {problem.strerror}"

    def reason(self, work_dir: Path, verb: str) -> str:
        return ""
