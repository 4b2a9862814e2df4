# SPDX-License-Identifier: MIT
"""`make demo`: a job is checkpointed, its node crashes in the middle, and a new job finishes it.

Everything is real: the installed programs, CRIU's dumps, SIGKILL, an ordinary user.  The table at
the end says what was seen; one false row makes the exit status 1.
"""

from __future__ import annotations

import argparse
import json
import pwd
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tests.support import User, kill, session, wait_until  # noqa: E402

USER = "torqueckpt-demo"
LAST = 100
JOB = f"""#!/bin/sh
#PBS -N demo
# Several processes: one makes the numbers, one paces them, one writes them in two places.
seq {LAST} | while read number; do
    sleep 0.1
    echo $number
done | tee -a numbers.txt
exit 7
"""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--prefix", type=Path, required=True, help="the installation to show")
    prefix = options.parse_args().prefix
    user, made = ordinary_user()
    directory = user.directory()
    try:
        with Console().status("a job counts, and is checkpointed every 2 s"):
            rows = show(prefix, user, directory)
    finally:
        user.kill_all()
        remove_images(prefix)
        if made:
            subprocess.run(["/usr/sbin/userdel", "-r", USER], capture_output=True, check=True)
        else:
            shutil.rmtree(directory)
    table = Table(title="torqueckpt: a job came back", show_lines=False)
    for heading in ("what", "seen", ""):
        table.add_column(heading, overflow="fold")
    for what, seen, good in rows:
        table.add_row(what, str(seen), "ok" if good else "[red]FALSE[/red]")
    Console().print(table)
    return 0 if all(good for _, _, good in rows) else 1


def show(prefix: Path, user: User, directory: Path) -> list[tuple[str, object, bool]]:
    """Run, crash, resume; gives (what, what was seen, whether it is as it should be)."""
    program = prefix / "bin" / "torqueckpt"
    script = user.script(JOB, directory)

    mom = subprocess.Popen(
        [program, "run", "--user", user.name, "-c", "c=2s", script],
        cwd=directory,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert mom.stdout is not None
    job = mom.stdout.readline().strip()
    spool = prefix / "var/spool/torqueckpt/spool"
    wait_until(lambda: len(images(program, job)) >= 3)
    time.sleep(0.7)  # work that is done since the last image, and will be lost and done again
    leader = int(Path(f"/proc/{mom.pid}/task/{mom.pid}/children").read_text().split()[0])
    kill(mom.pid)
    for pid in session(leader):
        kill(pid)
    mom.wait()
    wait_until(lambda: not session(leader))
    reached = len((spool / f"{job}.OU").read_text().split())
    left = (directory / "numbers.txt").read_text().split()
    for file in spool.glob(f"{job}.*"):
        file.unlink()

    taken = images(program, job)
    shown = json.loads(
        subprocess.run([program, "show", job, "--json"], capture_output=True, check=True).stdout
    )
    kept = next(stream for stream in shown["streams"] if stream["name"] == "stdout")
    resumed_at = kept_lines(prefix, taken[-1], kept) + 1

    resume_script = directory / "resume_job.sh"
    argv = [program, "resume-job", job, "-o", resume_script]
    subprocess.run(user.argv(*argv), check=True, cwd=directory)
    resumed = subprocess.run(
        [program, "run", "--user", user.name, "-o", "resumed.out", resume_script],
        cwd=directory,
        stdout=subprocess.PIPE,
        text=True,
    )
    new_job = resumed.stdout.strip()
    numbers = [str(n) for n in range(1, LAST + 1)]
    out = (directory / "resumed.out").read_text().split()
    appended = (directory / "numbers.txt").read_text().split()
    return [
        ("job, and the job that finished it", f"{job}, {new_job}", job != new_job),
        ("checkpoints taken before the crash", len(taken), len(taken) >= 3),
        ("processes in the image", len(shown["processes"]), len(shown["processes"]) >= 3),
        ("size of the newest image", f"{taken[-1]['bytes'] / 2**20:.2f} MiB", True),
        ("job frozen for it", f"{taken[-1]['frozen_ms']} ms", taken[-1]["frozen_ms"] < 1000),
        ("killed (MOM, job, spool files) after line", reached, reached < LAST),
        ("went on with line", resumed_at, 1 < resumed_at <= reached + 1),
        ("exit status of the new job", resumed.returncode, resumed.returncode == 7),
        (f"its stdout: 1 to {LAST}, each once", f"{len(out)} lines", out == numbers),
        (
            "numbers.txt (append: as it was left, then on)",
            f"{len(appended)} lines",
            appended == left + numbers[resumed_at - 1 :],
        ),
    ]


def images(program: Path, job: str) -> list[dict[str, Any]]:
    answer = subprocess.run([program, "list", "--job", job, "--json"], capture_output=True)
    found: list[dict[str, Any]] = json.loads(answer.stdout) if answer.stdout else []
    return found


def remove_images(prefix: Path) -> None:
    program = prefix / "bin" / "torqueckpt"
    answer = subprocess.run([program, "list", "--user", USER, "--json"], capture_output=True)
    rows = json.loads(answer.stdout) if answer.stdout else []
    for lineage in {row["lineage"] for row in rows}:
        subprocess.run([program, "delete", lineage, "--user", USER], stdout=subprocess.DEVNULL)
    shutil.rmtree(prefix / "var/spool/checkpoint/jobs" / USER, ignore_errors=True)


def kept_lines(prefix: Path, image: dict[str, Any], stream: dict[str, Any]) -> int:
    """How many lines the job had written when its newest image was made."""
    lineage = prefix / "var/spool/checkpoint/jobs" / image["owner"] / image["lineage"]
    kept = (lineage / "output" / stream["kept"]).read_bytes()[: stream["size"]]
    return len(kept.split())


def ordinary_user() -> tuple[User, bool]:
    """The demo's user, and whether it had to be made."""
    try:
        entry, made = pwd.getpwnam(USER), False
    except KeyError:
        subprocess.run(["/usr/sbin/useradd", "-m", "-s", "/bin/bash", USER], check=True)
        entry, made = pwd.getpwnam(USER), True
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid, Path(entry.pw_dir)), made


if __name__ == "__main__":
    sys.exit(main())
