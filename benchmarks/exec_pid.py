# SPDX-License-Identifier: MIT
"""Finding the exec PID among very many processes, beside `ps | grep | awk`, as it used to be."""

from __future__ import annotations

import os
import signal
import subprocess
import time

from benchmarks.place import Place, started
from benchmarks.rows import Row, ratio
from tests.support import INSTALLED
from torqueckpt.process import proc

_PIPELINE = (
    "exec_pid=`/bin/ps -ef | /usr/bin/grep $1 | /usr/bin/awk '{ if ($3 == PATTERN) print $2; }'"
    " PATTERN=$1`; echo $exec_pid"
)
_OURS = """
import sys, time
from torqueckpt.process import tree
before = time.perf_counter()
found = tree.exec_process(int(sys.argv[1]))
print(found.pid, time.perf_counter() - before)
"""
_MAKER = """
import os, sys
for _ in range(int(sys.argv[1])):
    os.posix_spawn("/bin/sleep", ["sleep", "1d"], {})
print(flush=True)
input()
"""


def rows(where: Place, processes: int, rounds: int) -> dict[str, list[Row]]:
    with started(where, 1) as (running, _):
        sid, expected = str(running.leader()), running.exec_pid()
        asleep = _sleepers(where, processes)
        try:
            pipeline, mine, whole = [], [], []
            for _ in range(rounds):
                before = time.perf_counter()
                shell = subprocess.run(
                    ["/bin/sh", "-c", _PIPELINE, "sh", sid], capture_output=True, text=True
                )
                pipeline.append(time.perf_counter() - before)
                python = INSTALLED / "venv" / "bin" / "python"
                before = time.perf_counter()
                answer = subprocess.run(
                    [python, "-I", "-c", _OURS, sid], capture_output=True, text=True, check=True
                )
                whole.append(time.perf_counter() - before)
                pid, seconds = answer.stdout.split()
                assert int(pid) == expected == int(shell.stdout.split()[0])
                mine.append(float(seconds))
        finally:
            _end(asleep)
    size, note = f"{processes} processes", "beside: ps -ef, grep and awk, as in the guide of 2005"
    return {
        "Exec PID": [
            ratio("exec PID from the session id", size, mine, pipeline, 1.0, note),
            ratio("the same, start of the interpreter and all", size, whole, pipeline, None),
        ]
    }


def _sleepers(where: Place, count: int) -> subprocess.Popen[bytes]:
    """A process of the user with so many children, once they are all there."""
    maker = subprocess.Popen(
        where.user.argv("/usr/bin/python3", "-c", _MAKER, str(count)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert maker.stdout is not None
    assert maker.stdout.readline() == b"\n", "not so many processes could be made"
    return maker


def _end(maker: subprocess.Popen[bytes]) -> None:
    """Its children become ours (place.adopt)."""
    children = proc.children(maker.pid)
    maker.kill()
    maker.wait()
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    for pid in children:
        os.waitpid(pid, 0)
