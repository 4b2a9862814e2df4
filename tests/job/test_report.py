# SPDX-License-Identifier: MIT
"""Real checkpoints and restarts tell in the journal whose they were; `report` says how it went."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.support import Running, Site, User, counting, lines

# A connection to a program outside of the job, which no image can hold.
_CONNECTED = """#!/usr/bin/python3
import socket, sys, time
theirs = socket.socket(socket.AF_UNIX)
theirs.connect(sys.argv[1])
print("line 1", flush=True)
time.sleep(600)
"""
_LISTENING = """
import socket, sys
ear = socket.socket(socket.AF_UNIX)
ear.bind(sys.argv[1])
ear.listen()
print("listening", flush=True)
kept = ear.accept()
sys.stdin.read()
"""


def _job(site: Site, user: User, head: str = "", spec: str = "enabled") -> Running:
    text = counting(600).replace("#!/bin/sh\n", f"#!/bin/sh\n{head}\n")
    running = site.start(user, user.script(text, user.directory()), "-c", spec)
    running.wait_for_line(1)
    return running


def _journal(site: Site, user: User) -> list[dict[str, Any]]:
    file = site.store / "jobs" / user.name / "journal"
    return [json.loads(line) for line in file.read_text().splitlines()]


def _told(site: Site, who: User | None, *words: str) -> dict[tuple[str, str], str]:
    answer = site.call(who, "report", "--json", *words)
    assert answer.returncode == 0, answer.stderr
    rows = json.loads(answer.stdout)
    return {
        (row["part"], row["name"]): " ".join(
            [row["outcome"], *(each["reason"] for each in row["reasons"])]
        )
        for row in rows
    }


def test_a_grid_job_that_is_resumed_counts_for_its_vo(site: Site, user: User) -> None:
    text = counting(60).replace("#!/bin/sh\n", "#!/bin/sh\nexport LCG_GFAL_VO=atlas\n")
    running = site.start(user, user.script(text, user.directory()), "-c", "enabled")
    running.wait_for_line(3)  # the shell has exported it, and its sleep knows it
    assert subprocess.run(running.hook_argv(name="a")).returncode == 0
    running.crash()
    resumed = site.resume(user, running.job, running.directory)
    assert resumed.wait() == 7 and resumed.out() == lines(60)
    taken, restarted = _journal(site, user)[0], _journal(site, user)[-1]
    for line, event in ((taken, "checkpoint"), (restarted, "restart")):
        assert line["event"] == event and line["outcome"] == "OK"
        assert (line["user"], line["vo"]) == (user.name, "atlas")
    assert _told(site, None) == {("grid VOs", "atlas"): "OK"}


def test_a_local_users_connection_is_told_as_open_sockets(
    site: Site, user: User, other_user: User, tmp_path: Path
) -> None:
    directory = user.directory()
    place = str(directory / "ear")
    words = user.argv("/usr/bin/python3", "-c", _LISTENING, place)
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as daemon:
        assert daemon.stdout is not None and daemon.stdout.readline() == b"listening\n"
        script = user.script(_CONNECTED, directory, "connected.py")
        text = f"#!/bin/sh\n/usr/bin/python3 {script} {place}\n"
        running = site.start(user, user.script(text, directory), "-c", "enabled")
        running.wait_for_line(1)
        assert subprocess.run(running.hook_argv(name="a")).returncode == 19
        running.crash()
    (line,) = _journal(site, user)
    assert (line["event"], line["outcome"], line["code"]) == ("checkpoint-failed", "NO", 19)
    other = _job(site, other_user)
    assert subprocess.run(other.hook_argv(name="b")).returncode == 0
    mine = {("local users", user.name): "NO open sockets"}
    assert _told(site, None) == {**mine, ("local users", other_user.name): "OK"}
    assert _told(site, user) == mine
    page = site.call(None, "report").stdout.splitlines()
    assert page[0].startswith("local users") and page[2].rstrip().endswith("NO - open sockets")
    refused = site.call(user, "report", "--user", other_user.name)
    assert refused.returncode == 77 and refused.stdout == ""


def test_a_process_that_left_the_job_is_told(site: Site, user: User) -> None:
    running = _job(site, user, "(sleep 600 >/dev/null 2>&1 &)", "u")  # not by way of mom-run
    refused = subprocess.run(running.hook_argv(name="a"), capture_output=True, text=True)
    assert refused.returncode == 19 and "(sleep), a process that left its parent" in refused.stderr
    site.configure(leave_out=["sleep"])
    assert subprocess.run(running.hook_argv(name="a")).returncode == 0
    assert _journal(site, user)[-1]["left_out"] == 1
    told = {("local users", user.name): "OK processes with PPID 1 are left out"}
    assert _told(site, None) == told
