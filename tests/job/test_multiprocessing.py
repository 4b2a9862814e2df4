# SPDX-License-Identifier: MIT
"""Python's helpers and a JVM that was looked into: semaphores, managers and sockets come back."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.boot import boot
from tests.job.file_jobs import checkpoint, python, started
from tests.support import Site, User, lines

_POOL = """
import multiprocessing
def square(number):
    return number * number
if __name__ == "__main__":
    context = multiprocessing.get_context("METHOD")
    with context.Manager() as manager, context.Pool(3) as pool:
        seen, lock = manager.list(), manager.Lock()
        for i in steps():
            with lock:
                seen.append(sum(pool.map(square, range(i))))
        assert list(seen) == [sum(n * n for n in range(i)) for i in range(1, 61)]
"""
_LOKY = """
import joblib
def square(number):
    return number * number
if __name__ == "__main__":
    seen = []
    for i in steps():
        seen.append(sum(joblib.Parallel(n_jobs=3)(joblib.delayed(square)(n) for n in range(i))))
    assert seen == [sum(n * n for n in range(i)) for i in range(1, 61)]
"""
_PROGRAMS = {
    "spawn": _POOL.replace("METHOD", "spawn"),
    "forkserver": _POOL.replace("METHOD", "forkserver"),
    "loky": _LOKY,
}
_JAVA = """
cat >Steps.java <<'END'
public class Steps {
    public static void main(String[] words) throws Exception {
        String place = System.getenv("PBS_O_WORKDIR") + "/may-end";
        for (int i = 1; i <= 60; i++) {
            while (i == 60 && !new java.io.File(place).exists()) Thread.sleep(20);
            System.out.println("line " + i);
            Thread.sleep(50);
        }
    }
}
END
exec /usr/bin/java -XX:-UsePerfData Steps.java
"""


def _crashes_twice(site: Site, user: User, program: str, look: bool = False) -> None:
    """Once more with what a boot leaves."""
    running = started(site, user, program)
    running.wait_for_line(1)
    root = running.exec_pid()  # which it has after a restart too
    for reached, booted in ((5, False), (20, True)):
        running.wait_for_line(reached)
        if look:
            _jstack(root, user)
        checkpoint(running, f"at-{reached}")
        running.wait_for_line(reached + 3)
        running.crash()
        if booted:
            boot(user)
        running = site.resume(user, running.job, running.directory)
        site.wait_for_restart(running)
        if look:
            _jstack(root, user)
    assert running.wait() == 0, running.err()
    assert running.out() == lines(60)


def _jstack(pid: int, user: User) -> None:
    asked = subprocess.run(user.argv("/usr/bin/jstack", str(pid)), capture_output=True, text=True)
    assert "main" in asked.stdout, asked.stderr


@pytest.mark.parametrize("which", _PROGRAMS)
def test_a_pool_of_processes(site: Site, user: User, which: str) -> None:
    if which == "loky" and not Path("/usr/lib/python3/dist-packages/joblib").exists():
        pytest.skip("no joblib here")
    _crashes_twice(site, user, python(_PROGRAMS[which]))


def test_a_jvm_that_jstack_has_looked_into(site: Site, user: User) -> None:
    if not Path("/usr/bin/jstack").exists():
        pytest.skip("no jstack here")
    _crashes_twice(site, user, _JAVA, look=True)
