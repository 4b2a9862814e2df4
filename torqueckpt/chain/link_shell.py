# SPDX-License-Identifier: MIT
"""The shell that runs the script of a chain, and says when that is done.

It is in every image, below whichever link's supervisor.
"""

from __future__ import annotations

import os
import shlex
import signal
from typing import NoReturn

from torqueckpt import paths
from torqueckpt.process.inherited import environment
from torqueckpt.store.chain import Chain

# Batch systems signal all processes of a job: those are for the script, which gets them as always.
# After TERM it has its time to end, and has not ended by itself; a moment later, it may come.
RUN = """trap : HUP INT QUIT USR1 USR2 ALRM VTALRM PROF XCPU PWR
torqueckpt_ended=
trap torqueckpt_ended=y TERM
"$@"
status=$?
sleep 1
[ -n "$torqueckpt_ended" ] || "$0" link-ended {chain} $status
exit $status
"""

Given = dict[bytes, bytes]


def run_script(found: Chain, first_time: bool) -> NoReturn:
    """Become the shell that runs it, by its own interpreter: the store may be mounted noexec."""
    given: Given = environment()
    if not first_time:
        saved = found.directory.read("environment").split(b"\0")
        before = dict(item.split(b"=", 1) for item in saved if b"=" in item)
        now = {n: v for n, v in given.items() if n.startswith(b"PBS_") or n == b"TMPDIR"}
        given = {**before, **now}
    path = found.directory.path / "script"
    script = found.directory.read("script")
    words = found.directory.read("words").split(b"\0")[:-1]
    argv = [*interpreter(script, given), os.fsencode(path), *words]
    program = os.fsencode(paths.program("bin", "torqueckpt"))
    text = RUN.format(chain=shlex.quote(found.name))
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, and exec would pass that on
        signal.signal(ignored, signal.SIG_DFL)
    os.execve("/bin/sh", [b"/bin/sh", b"-c", os.fsencode(text), program, *argv], given)


def interpreter(script: bytes, given: Given) -> list[bytes]:
    """As the kernel reads the first line; the job's shell where there is none."""
    line = script.split(b"\n", 1)[0].strip()
    if line.startswith(b"#!") and line[2:].strip():
        return line[2:].strip().split(None, 1)
    return [given.get(b"SHELL") or b"/bin/sh"]
