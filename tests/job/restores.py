# SPDX-License-Identifier: MIT
"""Restore one image again and again, as a restart does, while the machine is busy.

python -m tests.job.restores USER KIND TIMES, as root and as its session's leader: dumps a tree of
ten once, and prints as JSON how often each restore ended in which way.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import INSTALLED, wait_until
from torqueckpt.checkpointers.base import Dump, Restore
from torqueckpt.checkpointers.criu.criu import Criu
from torqueckpt.identity import Owner
from torqueckpt.process import privileges, signals
from torqueckpt.rights import contain
from torqueckpt.settings import Settings

_TEN = """
import os, sys, time
children = []
for _ in range(9):
    children.append(os.fork())
    if children[-1] == 0:
        while True:
            time.sleep(0.01)
print("ready", flush=True)
"""
_TEN_THREADS = """
import os, sys, threading, time
for _ in range(9):
    threading.Thread(target=time.sleep, args=(100000,), daemon=True).start()
print("ready", flush=True)
"""
# None of them waits in the kernel when it is dumped: it goes on as soon as it is let go.
_AT_ONCE = """
while not os.path.exists(sys.argv[1]):
    pass
"""
_NOTE = """
os.close(os.open(sys.argv[1] + ".done", os.O_CREAT))
"""
KINDS = {
    "goes on": _TEN + _AT_ONCE + _NOTE + "time.sleep(100000)\n",
    "kills its children": _TEN + _AT_ONCE + "for each in reversed(children):\n"
    "    os.kill(each, 9)\n"
    "for each in children:\n"
    "    os.waitpid(each, 0)\n" + _NOTE + "time.sleep(100000)\n",
    "ends with all its threads": _TEN_THREADS + _AT_ONCE + _NOTE + "os._exit(0)\n",
    "becomes another program": _TEN_THREADS
    + _AT_ONCE
    + _NOTE
    + 'os.execv("/bin/sleep", ["sleep", "1000"])\n',
}


def main(user: str, kind: str, times: int) -> Counter[str]:
    owner = privileges.owner(user)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as made:
        top = Path(made)
        top.chmod(0o755)
        for name in ("image", "work"):
            (top / name).mkdir()
            os.chown(top / name, owner.uid, owner.gid)
        criu = Criu(Settings(criu_path=INSTALLED / "criu" / "criu"))
        criu.restore_library = INSTALLED / "preload" / "restore.so"
        pid = _dumped(criu, owner, top, KINDS[kind])
        (top / "image" / "go").touch()
        with _busy():
            return Counter(_restored(criu, owner, top, pid) for _ in range(times))


def _dumped(criu: Criu, owner: Owner, top: Path, program: str) -> int:
    argv = [sys.executable, "-c", program, str(top / "image" / "go")]
    job = subprocess.Popen(
        privileges.as_owner_argv(owner, (), argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
    )
    assert job.stdout is not None and job.stdout.readline() == b"ready\n"
    dump = criu.dump_argv(Dump(job.pid, top / "image", top / "work", True, False))
    rights = criu.capabilities(False)
    finished = contain.run_alone(privileges.as_owner_argv(owner, rights, dump), 60)
    assert finished.ok, (finished, (top / "work" / "dump.log").read_text())
    signals.end_child(job.pid)
    job.returncode = -9  # it is reaped already
    for core in (top / "image").glob("core-*.img"):  # as restart/image_view.py has them
        core.write_bytes(criu.checked_rights(core.read_bytes(), None))
    return job.pid


@contextmanager
def _busy() -> Iterator[None]:
    """Inside, each processor has two programs more to run."""
    words = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(words) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        yield
    finally:
        for each in others:
            each.kill()
            each.wait()


def _restored(criu: Criu, owner: Owner, top: Path, pid: int) -> str:
    """One restore: the first of the job's steps is waited for, and the job is ended."""
    done, rights = top / "image" / "go.done", criu.capabilities(False)
    done.unlink(missing_ok=True)
    argv = criu.restore_argv(Restore(top / "image", top / "work", False, ()))
    while True:
        (top / "work" / "restore.log").unlink(missing_ok=True)
        finished = contain.run_as_parent(
            privileges.as_owner_argv(owner, rights, argv),
            owner,
            rights,
            timeout_seconds=60,
            environment=criu.preloaded(criu.restore_library, tcp=False),
            keep_fds=(),
            end_what_it_left=lambda: signals.end_child(pid),
        )
        reason = criu.reason(top / "work", "restore") or finished.last_line()
        if finished.ok or not criu.passes_seconds(reason, 1):
            break
        time.sleep(0.02)
    if finished.ok:
        wait_until(done.exists)
    signals.end_child(pid)
    return "restored" if finished.ok else reason


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
