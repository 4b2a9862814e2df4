# SPDX-License-Identifier: MIT
"""Whose rights are used: the owner's for everything, and as few more as the checkpointer needs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import accounts
from tests.support import INSTALLED, UNTIL_IT_MAY_END, Site, User, counting, lines, wait_until

NET_ADMIN, CHECKPOINT_RESTORE = 1 << 12, 1 << 40

WHO = """#!/bin/bash
who() { grep -E '^(Uid|Gid|Groups|CapPrm|CapEff|CapAmb|NoNewPrivs)' /proc/self/status; }
who > before.txt
for i in $(seq 30); do echo line $i; sleep 0.1; done
"""
WHO += f"{UNTIL_IT_MAY_END}\nwho > after.txt\nexit 7\n"

TALK = """#!/usr/bin/python3 -u
import os, socket, time
ear = socket.create_server(("127.0.0.1", 0))
if os.fork() == 0:
    mouth = socket.create_connection(ear.getsockname())
    for i in range(1, 31):
        while i == 30 and not os.path.exists(os.environ["PBS_O_WORKDIR"] + "/may-end"):
            time.sleep(0.05)
        mouth.sendall(b"line %d\\n" % i)
        time.sleep(0.05)
    os._exit(0)
talk, _ = ear.accept()
for line in talk.makefile():
    print(line, end="")
os.wait()
raise SystemExit(7)
"""


@pytest.fixture
def group(user: User) -> Iterator[str]:
    name = f"{user.name}g"
    accounts.change("groupadd", name)
    accounts.change("gpasswd", "-a", user.name, name)
    yield name
    accounts.change("groupdel", name)


@pytest.fixture
def spying_criu(site: Site, user: User) -> Path:
    """CRIU that first notes whose rights it has; gives the note."""
    note = user.directory() / "criu.status"
    program = site.root / "spying-criu"
    program.write_text(
        "#!/bin/sh\n"
        f'[ "$1" = --version ] || cat /proc/self/status > "{note}"\n'
        f'exec {INSTALLED}/criu/criu "$@"\n'
    )
    program.chmod(0o755)
    site.configure(criu_path=str(program))
    return note


def field(status: str, name: str) -> list[str]:
    return next(line.split()[1:] for line in status.splitlines() if line.startswith(f"{name}:"))


def test_a_resumed_job_has_its_groups_again_and_no_rights_that_it_had_not(
    site: Site, user: User, group: str
) -> None:
    directory = user.directory()
    running = site.start(user, user.script(WHO, directory), "-c", "c=1s")
    site.wait_for_images(running.job)
    running.crash()
    resumed = site.resume(user, running.job, directory)
    assert resumed.wait() == 7, resumed.err()
    before, after = (directory / "before.txt").read_text(), (directory / "after.txt").read_text()
    assert before == after
    assert len(field(after, "Groups")) == 2
    assert set("".join(field(after, "CapPrm") + field(after, "CapAmb"))) == {"0"}


def test_a_group_that_the_owner_has_left_is_not_given_back(
    site: Site, user: User, group: str
) -> None:
    directory = user.directory()
    running = site.start(user, user.script(WHO, directory), "-c", "c=1s")
    site.wait_for_images(running.job)
    running.crash()
    accounts.change("gpasswd", "-d", user.name, group)
    resumed = site.resume(user, running.job, directory)
    assert resumed.wait() == 125
    assert "no longer in the group" in resumed.err()
    assert resumed.out() == ""


def test_criu_is_the_owners_with_one_capability(site: Site, user: User, spying_criu: Path) -> None:
    script = user.script(counting(), user.directory())
    running = site.start(user, script, "-c", "enabled")
    running.wait_for_line(1)
    assert subprocess.run(running.hook_argv()).returncode == 0
    status = spying_criu.read_text()
    assert field(status, "Uid") == [str(user.uid)] * 4
    assert int(field(status, "CapEff")[0], 16) == CHECKPOINT_RESTORE
    assert running.wait() == 7


def test_a_connection_within_the_job_is_dumped_without_another_right(
    site: Site, user: User, spying_criu: Path
) -> None:
    running = site.start(user, user.script(TALK, user.directory()), "-c", "enabled")
    running.wait_for_line(1)
    answer = subprocess.run(running.hook_argv(), capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    effective = int(field(spying_criu.read_text(), "CapEff")[0], 16)
    assert not effective & NET_ADMIN
    shown = json.loads(site.call(user, "show", running.job, "--json").stdout)
    assert shown["established_tcp"] is True
    ends = {(each["local_port"], each["remote_port"]) for each in shown["connections"]}
    assert len(ends) == 2
    assert ends == {(there, here) for here, there in ends}
    assert running.wait() == 7
    assert running.out() == lines(30)


def test_the_owner_can_neither_stop_nor_trace_the_hook(site: Site, user: User) -> None:
    script = user.script(counting(), user.directory())
    running = site.start(user, script, "-c", "enabled")
    running.wait_for_line(1)
    slow, go_on = site.root / "slow-criu", site.root / "go-on"
    slow.write_text(
        f'#!/bin/sh\n[ "$1" != dump ] || until [ -e {go_on} ]; do sleep 0.05; done\n'
        f'exec {INSTALLED}/criu/criu "$@"\n'
    )
    slow.chmod(0o755)
    site.configure(criu_path=str(slow))
    hook = subprocess.Popen(running.hook_argv())

    def keepers() -> list[int]:
        """The hook's child that waits for criu."""
        return [pid for pid in children(hook.pid) if any(map(runs_a_dump, children(pid)))]

    for pid in (hook.pid, *wait_until(keepers)):
        for word in ("STOP", "KILL"):
            answer = subprocess.run(user.argv("/bin/sh", "-c", f"kill -{word} {pid}"), stderr=-3)
            assert answer.returncode != 0
        for secret in ("mem", "environ", "fd"):
            path = f"/proc/{pid}/{secret}"
            assert subprocess.run(user.argv("/usr/bin/head", path), stderr=-3).returncode != 0
    go_on.touch()
    assert hook.wait() == 0
    assert running.wait() == 7


def test_the_supervisor_is_the_users_in_the_end(site: Site, user: User) -> None:
    directory = user.directory()
    running = site.start(user, user.script(counting(60), directory), "-c", "c=1s")
    site.wait_for_images(running.job)
    running.crash()
    resumed = site.resume(user, running.job, directory)
    record = site.lineage(running.job) / "live.json"
    live = wait_until(
        lambda: json.loads(record.read_text()) if resumed.job in record.read_text() else None
    )
    keeper = live["keeper"]["pid"]
    wait_until(lambda: field(status_of(keeper), "Uid") == [str(user.uid)] * 4)
    assert int(field(status_of(keeper), "CapPrm")[0], 16) == 0
    # Root's daemon signals every process of the session; the user's own signal is passed on.
    site.wait_for_restart(resumed)
    subprocess.run(user.argv("/bin/sh", "-c", f"kill -TERM {keeper}"), check=True)
    assert resumed.wait_as_it_is() == 128 + signal.SIGTERM
    user.has_none()


def status_of(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text()


def runs_a_dump(pid: int) -> bool:
    return b"dump" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


def children(pid: int) -> list[int]:
    threads = os.listdir(f"/proc/{pid}/task")
    texts = (Path(f"/proc/{pid}/task/{thread}/children").read_text() for thread in threads)
    return [int(child) for text in texts for child in text.split()]
