# SPDX-License-Identifier: MIT
"""A job that went on after its checkpoint: its files come out as those of an uninterrupted run."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from tests.support import Running, Site, User

STEPS = 60
_LOOP = "i=0; while [ $i -lt 60 ]; do i=$((i + 1)); {body}; echo line $i; sleep $PAUSE; done"
_PYTHON = """
import mmap, os, struct, sys, time
def steps():
    for i in range(1, 61):
        yield i
        os.write(1, b"line %d\\n" % i)
        time.sleep(float(os.environ["PAUSE"]))
"""


def _shell(body: str, around: str = "{}") -> str:
    return around.format(_LOOP.format(body=body))


def _python(text: str) -> str:
    return f"cat >../program.py <<'END'\n{_PYTHON}{text}END\nexec /usr/bin/python3 ../program.py\n"


# name → (rules, the job's program)
KINDS = {
    "truncated, then growing": ("", _shell("echo $i >&5", "( {} ) 5>out.txt")),
    "buffered by stdio": (
        "",
        _python("out = open('out.txt', 'w')\nfor i in steps(): out.write(f'{i}\\n' * 77)\n"),
    ),
    "read and written, growing": (
        "",
        _python(
            "out = open('out', 'w+b')\n"
            "for i in steps():\n"
            "    out.write(b'%d' % i * 999); out.flush()\n"
            "    out.seek(0); out.read(5); out.seek(0, 2)\n"
        ),
    ),
    "rewritten in place": (
        "data/state=snapshot",
        _python(
            "state = open('state', 'w+b'); state.write(bytes(8 * 4096))\n"
            "for i in steps():\n"
            "    state.seek(8 * (i * 37 % 4096)); old = struct.unpack('q', state.read(8))[0]\n"
            "    state.seek(8 * (i * 37 % 4096)); state.write(struct.pack('q', old + i))\n"
            "    state.seek(0); n = struct.unpack('q', state.read(8))[0]\n"
            "    state.seek(0); state.write(struct.pack('q', n * 3 % 1000003 + 1)); state.flush()\n"
        ),
    ),
    "mapped for all to see": (
        "data/st*=snapshot",
        _python(
            "fd = os.open('state', os.O_RDWR | os.O_CREAT); os.ftruncate(fd, 1 << 20)\n"
            "m = mmap.mmap(fd, 1 << 20); os.close(fd)\n"
            "for i in steps():\n"
            "    m[0] = (m[0] * 7 + i) % 251; at = i * 17011; m[at] = (m[at - 1] + m[0]) % 256\n"
        ),
    ),
    "appended to": (
        "data/*.txt=rollback",
        _python(
            "out = open('out.txt', 'a')\nfor i in steps(): print('step', i, file=out, flush=True)\n"
        ),
    ),
    "appended to by a shell, opened for each line": (
        "other=ignore,data/out.txt=rollback",
        _shell("echo step $i >>out.txt"),
    ),
    "several writers on one open file": (
        "",
        _shell("(echo a $i >&5); sh -c 'echo b $0 >&5' $i; echo c >&5", "( {} ) 5>out.txt"),
    ),
    "two that have the file open each for itself": (
        "data/out.txt=rollback",
        _python(
            "one = open('out.txt', 'a'); two = open('out.txt', 'a+')\n"
            "for i in steps(): print('one', i, file=one, flush=True); "
            "print('two', i, file=two, flush=True)\n"
        ),
    ),
    "a rotating log": (
        "data/log*=snapshot",
        _python(
            "log = open('log', 'w')\n"
            "for i in steps():\n"
            "    print('entry', i, file=log, flush=True)\n"
            "    if i % 4 == 0:\n"
            "        log.close()\n"
            "        for n in range(i // 4, 1, -1):\n"
            "            if os.path.exists(f'log.{n - 1}'): os.rename(f'log.{n - 1}', f'log.{n}')\n"
            "        os.rename('log', 'log.1'); log = open('log', 'w')\n"
        ),
    ),
    "files that come and go": (
        "data/**=snapshot",
        _python(
            "for i in steps():\n"
            "    os.makedirs(f'd{i // 10}', exist_ok=True)\n"
            "    with open(f'd{i // 10}/part{i}', 'w') as part: part.write('x' * i)\n"
            "    old = f'd{(i - 25) // 10}/part{i - 25}'\n"
            "    if i > 25:\n"
            "        os.unlink(old)\n"
            "        if not os.listdir(os.path.dirname(old)): os.rmdir(os.path.dirname(old))\n"
        ),
    ),
}


def _job(program: str) -> str:
    return f"mkdir -p data; cd data || exit 9\n{program}"


def hashes(directory: Path) -> dict[str, str]:
    """Name → sha256 of all below the job's data/."""
    top = directory / "data"
    return {
        str(file.relative_to(top)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(top.rglob("*"))
        if file.is_file()
    }


def uninterrupted(user: User, program: str) -> dict[str, str]:
    """What the program makes when nothing happens to it."""
    directory = user.directory()
    script = user.script(_job(program), directory)
    with (directory / "stdout").open("w") as out:
        subprocess.run(
            user.argv("/usr/bin/env", "PAUSE=0", "/bin/bash", script),
            cwd=directory,
            stdout=out,
            check=True,
        )
    return hashes(directory)


def started(site: Site, user: User, program: str, rules: str = "") -> Running:
    variables = "PAUSE=0.05" + (f",TORQUECKPT_FILES={rules}" if rules else "")
    script = user.script(_job(program), user.directory())
    return site.start(user, script, "-c", "enabled,depth=9", "-v", variables)


def checkpoint(running: Running, name: str = "one") -> None:
    answer = subprocess.run(running.hook_argv(name=name), capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


def crashed_at(running: Running, first: int, second: int) -> None:
    """Checkpointed about line `first`, crashed about line `second`."""
    running.wait_for_line(first)
    checkpoint(running)
    running.wait_for_line(second)
    running.crash()


def resumed(site: Site, user: User, running: Running, *options: str) -> Running:
    again = site.resume(user, running.job, running.directory, *options)
    again.wait()
    return again


@pytest.fixture(autouse=True)
def patient(site: Site) -> None:
    """Where the machine's first process is slow to reap, pids stay taken for a while."""
    site.configure(pid_wait_seconds=60)


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_those_of_an_uninterrupted_run(site: Site, user: User, kind: str) -> None:
    rules, program = KINDS[kind]
    wanted = uninterrupted(user, program)
    assert wanted
    running = started(site, user, program, rules)
    crashed_at(running, 21, 34)
    again = resumed(site, user, running)
    assert again.process.returncode == 0, again.err()
    assert hashes(running.directory) == wanted
    assert again.out() == "".join(f"line {n}\n" for n in range(1, STEPS + 1))
