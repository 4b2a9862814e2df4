# SPDX-License-Identifier: MIT
"""A job that went on after its checkpoint: its files come out as those of an uninterrupted run."""

from __future__ import annotations

import pytest

from tests.job.file_jobs import (
    IMAGED,
    STEPS,
    crashed_at,
    hashes,
    python,
    resumed,
    shell,
    started,
    uninterrupted,
)
from tests.support import UNTIL_IT_MAY_END, Site, User

# name → (rules, the job's program)
KINDS = {
    "truncated, then growing": ("", shell("echo $i >&5", "( {} ) 5>out.txt")),
    "buffered by stdio": (
        "",
        python("out = open('out.txt', 'w')\nfor i in steps(): out.write(f'{i}\\n' * 77)\n"),
    ),
    "read and written, growing": (
        "",
        python(
            "out = open('out', 'w+b')\n"
            "for i in steps():\n"
            "    out.write(b'%d' % i * 999); out.flush()\n"
            "    out.seek(0); out.read(5); out.seek(0, 2)\n"
        ),
    ),
    "rewritten in place": (
        "data/state=snapshot",
        python(
            "state = open('state', 'w+b'); state.write(bytes(8 * 4096))\n"
            "for i in steps():\n"
            "    state.seek(8 * (i * 37 % 4096)); old = struct.unpack('q', state.read(8))[0]\n"
            "    state.seek(8 * (i * 37 % 4096)); state.write(struct.pack('q', old + i))\n"
            "    state.seek(0); n = struct.unpack('q', state.read(8))[0]\n"
            "    state.seek(0); state.write(struct.pack('q', n * 3 % 1000003 + 1)); state.flush()\n"
        ),
    ),
    "mapped for all to see": (
        "",
        python(
            "fd = os.open('state', os.O_RDWR | os.O_CREAT); os.ftruncate(fd, 1 << 20)\n"
            "m = mmap.mmap(fd, 1 << 20); os.close(fd)\n"
            "for i in steps():\n"
            "    m[0] = (m[0] * 7 + i) % 251; at = i * 17011; m[at] = (m[at - 1] + m[0]) % 256\n"
        ),
    ),
    "appended to": (
        "data/*.txt=rollback",
        python(
            "out = open('out.txt', 'a')\nfor i in steps(): print('step', i, file=out, flush=True)\n"
        ),
    ),
    "appended to by a shell, opened for each line": (
        "other=ignore,data/out.txt=rollback",
        shell("echo step $i >>out.txt"),
    ),
    "several writers on one open file": (
        "",
        shell("(echo a $i >&5); sh -c 'echo b $0 >&5' $i; echo c >&5", "( {} ) 5>out.txt"),
    ),
    "two that have the file open each for itself": (
        "data/out.txt=rollback",
        python(
            "one = open('out.txt', 'a'); two = open('out.txt', 'a+')\n"
            "for i in steps(): print('one', i, file=one, flush=True); "
            "print('two', i, file=two, flush=True)\n"
        ),
    ),
    "a rotating log": (
        "data/log*=snapshot",
        python(
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
        python(
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


def test_output_is_complete_whoever_writes_it_and_however_it_was_opened(
    site: Site, user: User
) -> None:
    """Descriptors that share the open file, and one that was opened for itself by name."""
    program = (
        "exec 2>&1 7>>/proc/$$/fd/1 8</dev/null 9<.\n"
        "for i in $(seq 1 60); do\n"
        f"    [ $i -lt 60 ] || {UNTIL_IT_MAY_END}\n"
        "    echo line $i; echo error $i >&2; sh -c 'echo child $0' $i; echo other $i >&7\n"
        "    read -r word <&8 && echo read $word; sleep $PAUSE\n"
        "done | cat\n"
        "(echo end) >&7\n"
    )
    running = started(site, user, program)
    crashed_at(running, 21, 34)
    again = resumed(site, user, running)
    assert again.process.returncode == 0, again.err()
    told = again.out().splitlines()
    for word in ("line", "child", "error", "other"):
        assert [each for each in told if each.startswith(word)] == [
            f"{word} {n}" for n in range(1, STEPS + 1)
        ]
    assert told[-1] == "end" and len(told) == 4 * STEPS + 1


@pytest.mark.parametrize("shell_name", ["/bin/bash", "/bin/dash"])
def test_a_shell_goes_on_in_its_script_where_it_was(
    site: Site, user: User, shell_name: str
) -> None:
    counted = [f"echo line {n}; sleep 0.05\n" for n in range(1, STEPS + 1)]
    counted.insert(40, f"until [ -e {IMAGED} ]; do sleep 0.05; done\n")  # however long that takes
    text = "".join(["cd $PBS_O_WORKDIR\n", *counted[:-1], f"{UNTIL_IT_MAY_END}\n", counted[-1]])
    running = site.start(
        user, user.script(f"#!{shell_name}\n{text}exit 5\n", user.directory()), "-c", "enabled"
    )
    crashed_at(running, 21, 34)
    again = resumed(site, user, running)
    assert again.process.returncode == 5, again.err()
    assert again.out() == "".join(f"line {n}\n" for n in range(1, STEPS + 1))
