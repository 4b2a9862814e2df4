# SPDX-License-Identifier: MIT
"""A CRIU that dumps memory of running jobs as their owner, where the kernel can tell what changes.

CRIU 4.2.1 opens /proc/PID/clear_refs for reading too, which nobody but root may.  Where it says for
that reason that it cannot, it is tried with a library in front of it that opens it for writing.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from tests.support import INSTALLED
from torqueckpt.checkpoint import pre_dump
from torqueckpt.checkpointers import registry
from torqueckpt.process import memory, privileges
from torqueckpt.settings import Settings

_CRIU = INSTALLED / "criu" / "criu"
_SOURCE = Path(__file__).with_name("write_only.c")


@cache
def criu() -> tuple[Path | None, str]:
    """The program, or none; and what is to be said of it."""
    if not memory.dirty_ones_are_tracked():
        return None, "DID NOT RUN: the kernel does not track changed pages"
    if not _says(_CRIU):
        return _CRIU, "run"
    compiler = shutil.which("cc")
    if compiler is None:
        return None, "DID NOT RUN: CRIU needs a library in front of it, and there is no C compiler"
    place = Path(tempfile.mkdtemp(prefix="tckpt-criu-", dir="/var/tmp"))
    place.chmod(0o755)
    library, program = place / "write_only.so", place / "criu"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, _SOURCE], check=True)
    program.write_text(f'#!/bin/sh\nLD_PRELOAD={library} exec {_CRIU} "$@"\n')
    program.chmod(0o755)
    why = _says(program)
    return (None, f"DID NOT RUN: {why}") if why else (program, "run, with a CRIU that is helped")


def _says(program: Path) -> str:
    """Why it cannot; "" when it can."""
    backend = registry.load("criu", Settings(criu_path=program))
    return pre_dump.refused(backend, privileges.owner("nobody"))
