# SPDX-License-Identifier: MIT
"""Jobs that write files below data/, beside the same program with nothing happening to it."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from tests.support import MAY_END, UNTIL_IT_MAY_END, Running, Site, User

STEPS = 60
IMAGED = "imaged"  # the 40th step waits for this file, or for that with which the job may end
_LOOP = (
    "i=0; while [ $i -lt 60 ]; do i=$((i + 1)); "
    f'[ $i -ne 40 ] || until [ -e "$PBS_O_WORKDIR/{IMAGED}" -o -e "$PBS_O_WORKDIR/{MAY_END}" ]; '
    "do sleep 0.05; done; [ $i -lt 60 ] || "
    f"{UNTIL_IT_MAY_END}; {{body}}; echo line $i; sleep $PAUSE; done"
)
_PYTHON = f"""
import mmap, os, struct, sys, time
def steps():
    for i in range(1, 61):
        place = os.environ["PBS_O_WORKDIR"] + "/"
        while i == 40 and not any(map(os.path.exists, (place + "{IMAGED}", place + "{MAY_END}"))):
            time.sleep(0.05)
        while i == 60 and not os.path.exists(place + "{MAY_END}"):
            time.sleep(0.05)
        yield i
        os.write(1, b"line %d\\n" % i)
        time.sleep(float(os.environ["PAUSE"]))
"""


def shell(body: str, around: str = "{}") -> str:
    return around.format(_LOOP.format(body=body))


def python(text: str) -> str:
    return f"cat >../program.py <<'END'\n{_PYTHON}{text}END\nexec /usr/bin/python3 ../program.py\n"


def job(program: str) -> str:
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
    script = user.script(job(program), directory)
    (directory / MAY_END).touch()
    given = ("PAUSE=0", f"PBS_O_WORKDIR={directory}")
    with (directory / "stdout").open("w") as out:
        subprocess.run(
            user.argv("/usr/bin/env", *given, "/bin/bash", script),
            cwd=directory,
            stdout=out,
            check=True,
        )
    return hashes(directory)


def started(site: Site, user: User, program: str, rules: str = "", pause: float = 0.05) -> Running:
    variables = f"PAUSE={pause}" + (f",TORQUECKPT_FILES={rules}" if rules else "")
    script = user.script(job(program), user.directory())
    return site.start(user, script, "-c", "enabled,depth=9", "-v", variables)


def checkpoint(running: Running, name: str = "one") -> None:
    answer = subprocess.run(running.hook_argv(name=name), capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


def crashed_at(running: Running, first: int, second: int) -> None:
    """Checkpointed about line `first`, crashed about line `second`; some come in between."""
    running.wait_for_line(first)
    checkpoint(running)
    reached = running.spooled().count("line ")
    (running.directory / IMAGED).touch()
    running.wait_for_line(max(second, reached + 2))
    running.crash()


def resumed(site: Site, user: User, running: Running, *options: str) -> Running:
    again = site.resume(user, running.job, running.directory, *options)
    again.wait()
    return again
