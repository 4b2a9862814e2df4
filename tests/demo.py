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
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tests.support import User, alive, kill, session, stat_fields, wait_until  # noqa: E402

USER = "torqueckpt-demo"
MINUTES = 15 * 60  # what an emulated machine may take for one step, in seconds
JOB = """#!/bin/sh
#PBS -N demo
# Several processes: one makes the numbers, one paces them, one writes them in two places.
seq 1000000 | while read number && [ ! -e enough ]; do
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
        wait_until(lambda: not user.processes(), MINUTES)
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
    wait_until(lambda: mom.poll() is not None or len(images(program, job)) >= 3, MINUTES)
    if mom.poll() is not None:
        sys.exit(f"demo: job {job} ended with {mom.returncode} before it had three images")
    imaged = written(spool, job)
    # work that is done since the last image, and will be lost and done again
    wait_until(lambda: written(spool, job) >= imaged + 5, MINUTES)
    crash(mom)
    reached = written(spool, job)
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
    resumed = subprocess.Popen(
        [program, "run", "--user", user.name, "-o", "resumed.out", resume_script],
        cwd=directory,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert resumed.stdout is not None
    new_job = resumed.stdout.readline().strip()
    wait_until(lambda: resumed.poll() is not None or written(spool, new_job) > reached, MINUTES)
    (directory / "enough").touch()
    resumed.wait(MINUTES)
    out = (directory / "resumed.out").read_text().split()
    appended = (directory / "numbers.txt").read_text().split()
    numbers = [str(n) for n in range(1, len(out) + 1)]
    return [
        ("job, and the job that finished it", f"{job}, {new_job}", job != new_job),
        ("checkpoints taken before the crash", len(taken), len(taken) >= 3),
        ("processes in the image", len(shown["processes"]), len(shown["processes"]) >= 3),
        ("size of the newest image", f"{taken[-1]['bytes'] / 2**20:.2f} MiB", True),
        ("job frozen for it", f"{taken[-1]['frozen_ms']} ms", True),
        ("killed (MOM, job, spool files) after line", reached, True),
        ("went on with line", resumed_at, 1 < resumed_at <= reached + 1),
        ("exit status of the new job", resumed.returncode, resumed.returncode == 7),
        (
            "its stdout: from 1 on, past the crash, each once",
            f"{len(out)} lines",
            out == numbers and len(out) > reached,
        ),
        (
            "numbers.txt (append: as it was left, then on)",
            f"{len(appended)} lines",
            appended == left + numbers[resumed_at - 1 :],
        ),
    ]


def written(spool: Path, job: str) -> int:
    """How many lines the job has written to its stdout so far."""
    return (spool / f"{job}.OU").read_text().count("\n")


def crash(mom: subprocess.Popen[str]) -> None:
    """As when the node dies: MOM and the job's session are killed.

    A checkpoint that was being taken has ended when this returns.
    """
    kill(mom.pid, signal.SIGSTOP)
    wait_until(lambda: stat_fields(mom.pid)[0] == "T", MINUTES)
    children = Path(f"/proc/{mom.pid}/task/{mom.pid}/children").read_text().split()
    leader, *hooks = map(int, children)
    kill(mom.pid)
    mom.wait()
    wait_until(lambda: all_killed(leader), MINUTES)
    wait_until(lambda: not any(map(alive, hooks)), MINUTES)


def all_killed(leader: int) -> bool:
    """Kill the session's members; whether there was none left."""
    left = session(leader)
    for pid in left:
        kill(pid)
    return not left


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
