# SPDX-License-Identifier: MIT
"""Calling the checkpoint script as pbs_mom does: a shell, root, stderr as the job's comment."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from torqueckpt.batch.local.control import Caller

_COMMENT_BYTES = 4096  # as much of stderr as MOM takes for the job's comment


class Hook:
    """A running mom-checkpoint; `output` is what to wait on, spoke() reads it."""

    def __init__(
        self, words: Iterable[str], mom_priv: Path, name: str, caller: Caller | None, end: bool
    ) -> None:
        self.name = name
        self.began = time.monotonic()
        self.caller = caller
        self.end = end
        self._comment = b""
        # Unquoted, as pbs_mom writes it: whoever fills `words` sees to it that no shell minds them.
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", " ".join(words) + "  2>&1 1>/dev/null"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"LANG": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PWD": str(mom_priv)},
            cwd=mom_priv,
        )

    @property
    def output(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def spoke(self) -> bool:
        """Read what it says; True once it has said all."""
        block = os.read(self.output.fileno(), 65536)
        self._comment = (self._comment + block)[:_COMMENT_BYTES]
        return not block

    def end_of_it(self) -> tuple[int, str]:
        """Its exit status and the comment; after spoke() was True."""
        self.output.close()
        return self._process.wait(), self._comment.decode("utf-8", "replace").strip()
