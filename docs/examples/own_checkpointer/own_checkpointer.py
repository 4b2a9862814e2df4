# SPDX-License-Identifier: MIT
"""A checkpointer of a site's own: two programs, `save PID DIR` and `load DIR`.

`save` leaves the process running and ends with 0; `load` stays until the job ends and ends with its
exit status, and what it says on stderr stands in the job's own.
"""

from __future__ import annotations

from pathlib import Path

from torqueckpt.checkpointers.base import Checkpointer, Dump, Restore
from torqueckpt.settings import Settings

PROGRAMS = Path("/opt/own-checkpointer/bin")


class Own(Checkpointer):
    name = "own"
    program = PROGRAMS / "save"
    has_freeze_hook = False  # its image cannot be read, and it holds nothing still for us
    stays_as_parent = True  # `load` is the job's parent
    needs_version = (1, 2)

    def __init__(self, settings: Settings) -> None:
        """The site's settings, should it have use for them."""

    def version_argv(self) -> list[str]:
        return [str(self.program), "--version"]

    def dump_argv(self, dump: Dump) -> list[str]:
        return [str(self.program), str(dump.exec_pid), str(dump.image_dir)]

    def restore_argv(self, restore: Restore) -> list[str]:
        return [str(PROGRAMS / "load"), str(restore.image_dir)]

    def incomplete(self, dump: Dump) -> str:
        return "" if (dump.image_dir / "memory").is_file() else "save left no memory file"

    def reason(self, work_dir: Path, verb: str) -> str:
        return ""  # the last line on stderr says it
