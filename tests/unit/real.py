# SPDX-License-Identifier: MIT
"""Real processes for tests: started, waited for, looked at, and ended by their own ids."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.support import LIMIT_SECONDS
from torqueckpt.process import proc, sockets, tree


def start(argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(argv, start_new_session=True, **options)


def end(started: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the program's session, by pid, and reap the program."""
    for each in tree.session(started.pid):
        kill(each.pid)
    started.kill()
    started.wait(LIMIT_SECONDS)
    for pipe in (started.stdin, started.stdout, started.stderr):
        if pipe is not None:
            pipe.close()


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def until(fact: Callable[[], Any], what: str) -> Any:
    """Wait until `fact` gives something true, and give that."""
    limit = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < limit:
        found = fact()
        if found:
            return found
        time.sleep(0.005)
    pytest.fail(f"waited {LIMIT_SECONDS} s in vain: {what}")


def children(pid: int, count: int) -> list[proc.Stat]:
    """Exactly `count` running children of `pid`, once they are there."""

    def found() -> list[proc.Stat]:
        looked_up = [proc.stat(child) for child in proc.children(pid)]
        running = [each for each in looked_up if each is not None and not each.ended]
        return running if len(running) == count else []

    return list(until(found, f"{count} children of {pid}"))


def execed(pid: int, program: str) -> None:
    """Wait until `pid` runs `program`, by its first word."""
    until(lambda: proc.argv(pid)[:1] == [program], f"the exec of {program}")


def state(pid: int) -> str:
    found = proc.stat(pid)
    return found.state if found is not None else ""


def ended(pid: int) -> bool:
    found = proc.stat(pid)
    return found is None or found.ended


def python(code: str, *arguments: str) -> list[str]:
    """argv of this interpreter, isolated, running `code`."""
    return [sys.executable, "-I", "-c", code, *arguments]


def in_child(work: Callable[[], Any]) -> Any:
    """Run `work` in a forked process, for what changes a whole process; gives what it returns.

    Its result goes through JSON; its exception fails the test, traceback and all.
    """
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        signal.alarm(LIMIT_SECONDS)  # a child that hangs ends by itself
        try:
            answer = {"result": work()}
        except BaseException:
            answer = {"failure": traceback.format_exc()}
        try:
            os.write(write_end, json.dumps(answer).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    answer = json.loads(text or '{"failure": "the child was killed, or hung"}')
    if "failure" in answer:
        pytest.fail(f"in a forked process:\n{answer['failure']}")
    return answer["result"]


def forgets_ended_connections() -> bool:
    """Whether this kernel has CONFIG_INET_DIAG_DESTROY, and root may use it here."""
    with socket.create_server(("127.0.0.1", 0)) as ear:
        call = socket.create_connection(ear.getsockname())
        port = call.getsockname()[1]
        talk, _ = ear.accept()
        call.close()
        talk.close()
    found = [each for each in sockets.tcp() if each.local[1] == port]
    return any(map(sockets.destroy, found))
