# SPDX-License-Identifier: MIT
"""What an owner, or another user, puts in the way of root's programs: he harms himself at most."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from pathlib import Path

from tests.support import (
    LIMIT_SECONDS,
    Running,
    Site,
    User,
    counting,
    python_counting,
    session,
    wait_until,
)


def hook(running: Running, **options: object) -> subprocess.CompletedProcess[str]:
    argv = running.hook_argv(**options)  # type: ignore[arg-type]
    return subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_SECONDS)


def start(site: Site, user: User, last: int = 60) -> Running:
    running = site.start(user, user.script(counting(last), user.directory()), "-c", "enabled")
    running.wait_for_line(1)
    return running


def test_ending_a_job_reaches_no_process_of_roots_in_a_session_with_the_owners(
    site: Site, user: User
) -> None:
    """As in root's `su - user`: the owner names his process there as the tree of his job."""
    shell = " ".join(user.argv("/bin/sh", "-c", "'sleep 6002; :'"))
    root = subprocess.Popen(
        ["/bin/sh", "-c", f"{shell} & wait; sleep 6000"],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        theirs = wait_until(lambda: [p for p in user.processes() if p in session(root.pid)][:1])[0]
        running = start(site, user)
        assert hook(running).returncode == 0
        record = site.lineage(running.job) / "live.json"
        live = json.loads(record.read_text())
        ticks = Path(f"/proc/{theirs}/stat").read_text().rpartition(")")[2].split()[19]
        live["attempt"] = "x"
        live["tree"].update(pid=theirs, start_ticks=int(ticks))
        record.write_text(json.dumps(live))
        time.sleep(0.3)
        hook(running, name="end", signal=15)
        assert root.poll() is None
    finally:
        root.kill()
        root.wait()


def test_a_pipe_that_is_named_like_a_job_script_stops_no_hook(site: Site, user: User) -> None:
    directory = user.directory()
    text = """#!/usr/bin/python3 -u
import os, time
os.makedirs("mom_priv/jobs")
os.mkfifo("mom_priv/jobs/x")
pipe = os.open("mom_priv/jobs/x", os.O_RDWR)
"""
    text += f"{python_counting(30)}raise SystemExit(7)\n"
    running = site.start(user, user.script(text, directory), "-c", "enabled")
    running.wait_for_line(1)
    hook(running)
    assert running.wait() == 7


def test_a_guard_that_the_owner_has_stopped_or_killed_stops_no_hook(site: Site, user: User) -> None:
    for number in ("STOP", "KILL"):
        running = start(site, user)
        slow, go_on = site.root / "criu", site.root / f"go-on-{number}"
        slow.write_text(
            f'#!/bin/sh\n[ "$1" != dump ] || until [ -e {go_on} ]; do sleep 0.05; done\n'
            f'exec {site.root}/lib/torqueckpt/criu/criu "$@"\n'
        )
        slow.chmod(0o755)
        site.configure(criu_path=str(slow))
        ending = subprocess.Popen(running.hook_argv(signal=15))
        guards = wait_until(
            lambda: [p for p in user.processes() if parent(p) == ending.pid and is_guard(p)]  # noqa: B023
        )
        subprocess.run(user.argv("/bin/sh", "-c", f"kill -{number} {guards[0]}"), check=True)
        go_on.touch()
        assert ending.wait(LIMIT_SECONDS) == 0
        assert running.wait() == 137


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def is_guard(pid: int) -> bool:
    """Workers are forked by the same program, but only a guard has a session of its own."""
    status, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    return status == f"{pid} (mom-checkpoint" and rest.split()[3] == str(pid)


def test_what_one_user_does_to_his_records_does_not_keep_root_from_listing(
    site: Site, user: User
) -> None:
    running = start(site, user)
    assert hook(running).returncode == 0
    lineage = site.lineage(running.job)
    (lineage / "²").mkdir()
    (lineage / "7").symlink_to("/etc")
    file = lineage / "1" / "manifest.json"
    whole = json.loads(file.read_text())
    for name, value in (("created", 10**18), ("host", "\x1b[31mred")):
        changed = {**whole, "manifest": {**whole["manifest"], name: value}}
        file.write_text(json.dumps(changed))
        answer = site.call(None, "list")
        assert answer.returncode == 0, answer.stderr
        assert "\x1b" not in answer.stdout
    lineage.parent.chmod(0o755)
    assert site.call(None, "list").returncode == 0
    assert site.call(None, "show", "99.other").returncode == 20


def test_nobody_makes_a_jobs_output_files_before_it(
    site: Site, user: User, other_user: User
) -> None:
    start(site, user)  # makes the spool
    serial = int((site.spool / "server_priv" / "serial").read_text())
    squatted = site.spool / "spool" / f"{serial + 1}.{socket.gethostname()}.OU"
    subprocess.run(other_user.argv("/bin/sh", "-c", f"umask 0; : >{squatted}"), capture_output=True)
    running = start(site, user)
    assert squatted.name.startswith(running.job)
    assert squatted.stat().st_uid == user.uid
    assert subprocess.run(other_user.argv("/bin/cat", squatted), capture_output=True).returncode


def test_a_caller_who_may_not_speak_does_not_hold_the_mom_up(
    site: Site, user: User, other_user: User
) -> None:
    running = start(site, user)
    ear = site.spool / "sock" / running.job
    text = (
        "import socket, time\n"
        "many = [socket.socket(socket.AF_UNIX) for _ in range(5)]\n"
        f"for each in many: each.connect({os.fspath(ear)!r})\n"
        "told = [each.recv(100) for each in many]\n"
        "print(sum(b'not your job' in each for each in told), flush=True)\ntime.sleep(6000)\n"
    )
    silent = subprocess.Popen(
        other_user.argv("/usr/bin/python3", "-c", text), stdout=subprocess.PIPE, text=True
    )
    try:
        assert silent.stdout is not None
        assert silent.stdout.readline() == "5\n"  # none of them has said anything
        assert site.call(user, "checkpoint", running.job).returncode == 0
    finally:
        silent.kill()
        silent.communicate()
