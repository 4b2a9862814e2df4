# SPDX-License-Identifier: MIT
"""BLCR 0.8: cr_checkpoint and cr_restart (source: their man pages).

A program must have been started with cr_run: mom-run sees to that.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from torqueckpt.checkpointers.base import Checkpointer, Dump, Restore
from torqueckpt.findings import REFUSED, Finding
from torqueckpt.process.resources import Holdings, finding
from torqueckpt.process.sockets import protocol
from torqueckpt.settings import Settings

_CONTEXT = "context"
_FAILED = "restore.log"
_KINDS = {
    "args": "its arguments are refused",
    "temp": "a temporary failure, most often a process number in use",
    "env": "the kernel or its modules cannot do it here",
    "perm": "the image cannot be restarted, here or elsewhere",
}


class Blcr(Checkpointer):
    """Its dump leaves the tree stopped; it is made to run on."""

    name = "blcr"
    needs_version = (0, 8)
    has_freeze_hook = False
    stays_as_parent = True

    def __init__(self, settings: Settings) -> None:
        self.program = settings.blcr_dir / "cr_checkpoint"
        self._restart = settings.blcr_dir / "cr_restart"

    def version_argv(self) -> list[str]:
        return [str(self.program), "--version"]

    def launch_argv(self, argv: list[str]) -> list[str]:
        return [str(self.program.with_name("cr_run")), *argv]

    def dump_argv(self, dump: Dump) -> list[str]:
        file = str(dump.image_dir / _CONTEXT)
        return [str(self.program), "--tree", str(dump.exec_pid), "--file", file, "--stop"]

    def restore_argv(self, restore: Restore) -> list[str]:
        told = shlex.quote(str(restore.work_dir / _FAILED))
        return [
            str(self._restart),
            *(f"--run-on-fail-{kind}=/bin/echo {kind} >{told}" for kind in _KINDS),
            *(word for old, new in restore.relocated for word in ("--relocate", f"{old}={new}")),
            *("--file", str(restore.image_dir / _CONTEXT)),
        ]

    def findings(self, held: Holdings) -> list[Finding]:
        """Report sockets: BLCR saves none, and the program would find them closed (its FAQ)."""
        return [
            finding(
                *(REFUSED, held.tree[pid], f"{protocol(pid, fd) or 'a'} socket, descriptor {fd}"),
                *("BLCR saves no sockets", "close it before the checkpoint"),
            )
            for pid, fd in held.sockets.values()
        ]

    def incomplete(self, dump: Dump) -> str:
        return "" if (dump.image_dir / _CONTEXT).is_file() else "cr_checkpoint left no context file"

    def reason(self, work_dir: Path, verb: str) -> str:
        try:
            kind = (work_dir / _FAILED).read_text().strip()
        except FileNotFoundError:
            return ""
        return f"cr_restart: {_KINDS.get(kind, kind)}"

    def passes_seconds(self, reason: str, pid_wait_seconds: int) -> int:
        return pid_wait_seconds if _KINDS["temp"] in reason else 0
