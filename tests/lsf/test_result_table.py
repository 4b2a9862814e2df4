# SPDX-License-Identifier: MIT
"""The last page of the INFN-Trieste design: whose jobs came back, and why the others did not.

Each of its fourteen entries is a job of that kind, suspended and resumed; `torqueckpt report`
prints the page.
"""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator

import pytest

from tests.accounts import users
from tests.lsf.lsf_job import LsfJob
from tests.lsf.sbatchd import COUNTING, Sbatchd
from tests.support import Site, User

LOCAL = ("alice", "compass", "pamela", "cms", "external")
WELL = ("atlas", "cms", "euindia", "glast", "compchem")
_PYTHON = """#!/usr/bin/python3
import ctypes, fcntl, os, socket, sys, time
print("line 1", flush=True)
{body}
print("line 2", flush=True)
while not os.path.exists(os.environ["LS_SUBCWD"] + "/finish"):
    time.sleep(0.1)
"""
_SOCKET = 'kept = socket.create_connection(("127.0.0.1", {port}))'
_SYSV = "ctypes.CDLL(None).shmat(ctypes.CDLL(None).shmget(0, 4096, 0o1600), None, 0)"
_LOCK = """
lock = open("lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
"""


@pytest.fixture
def accounts(user: User) -> Iterator[dict[str, User]]:
    """The page's local users, and the account that grid jobs run under."""
    with users(*(f"{user.name}{n}" for n in range(len(LOCAL)))) as made:
        yield {**dict(zip(LOCAL, made)), "pool": user}


@pytest.fixture
def queue(site: Site, accounts: dict[str, User]) -> Iterator[dict[str, Sbatchd]]:
    """For each account a queue that suspends to disk."""
    made: dict[str, Sbatchd] = {}
    for who, account in accounts.items():
        made[who] = Sbatchd(site, account, account.directory(), last=100 * (len(made) + 1))
    yield made
    for each in made.values():
        each.end()


@pytest.fixture
def outside() -> Iterator[int]:
    """The port of a service that is no part of the job."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        yield port


def _begun(lsf: Sbatchd, vo: str, text: str) -> LsfJob:
    job = lsf.bsub(script=text, start=False)
    if vo:
        job.environment["LCG_GFAL_VO"] = vo
    lsf.start(job)
    job.wait_for_line(2)
    return job


def _bodies(port: int) -> dict[str, str]:
    bad = {"biomed": _SOCKET.format(port=port), "esr": _SYSV, "theophys": _SYSV, "lhcb": _LOCK}
    return {vo: _PYTHON.format(body=body) for vo, body in bad.items()}


def test_the_page_of_fourteen_entries(
    site: Site, accounts: dict[str, User], queue: dict[str, Sbatchd], outside: int
) -> None:
    site.configure(leave_out=["*"])  # a daemon that has a lock is left out of its job's image
    jobs = [(queue[who], _begun(queue[who], "", COUNTING), 7) for who in LOCAL]
    jobs += [(queue["pool"], _begun(queue["pool"], vo, COUNTING), 7) for vo in WELL]
    for text in _bodies(outside).items():
        jobs.append((queue["pool"], _begun(queue["pool"], *text), 0))
    assert len(jobs) == 14
    # A process of its that left the tree takes its lock as soon as the job is gone.
    pool, lhcb, _ = jobs[-1]
    owner = accounts["pool"]
    become = ["/usr/bin/setpriv", f"--reuid={owner.uid}", f"--regid={owner.gid}", "--clear-groups"]
    takes = ["/usr/bin/flock", str(pool.home / "lock"), "/bin/sleep", "600"]
    subprocess.run([*become, "/usr/bin/setsid", "--fork", *takes], env=lhcb.environment, check=True)
    for lsf, job, _ in jobs:
        lsf.bstop(job)
        if job is jobs[-1][1]:
            site.configure(
                leave_out=["*"], restore_timeout_seconds=2
            )  # CRIU waits for a lock that somebody has
        lsf.bresume(job)
    for lsf in queue.values():
        (lsf.home / "finish").touch()
    assert all(lsf.wait(job) == status for lsf, job, status in jobs[:-1])
    assert not lhcb.programs(), "it stays suspended, its image kept"
    pool.bkill(lhcb)
    assert pool.wait(lhcb) != 0

    answer = subprocess.run(
        [site.program, "report", "--json"], check=True, capture_output=True, text=True
    )
    names = {account.name: who for who, account in accounts.items()}
    told = {
        (row["part"], names.get(row["name"], row["name"])): " ".join(
            [row["outcome"], *(each["reason"] for each in row["reasons"])]
        )
        for row in json.loads(answer.stdout)
    }
    assert told == {
        **{("local users", who): "OK" for who in LOCAL},
        **{("grid VOs", vo): "OK" for vo in WELL},
        ("grid VOs", "biomed"): "NO open sockets",
        ("grid VOs", "esr"): "NO checkpoint failed (code 19)",
        ("grid VOs", "theophys"): "NO checkpoint failed (code 19)",
        ("grid VOs", "lhcb"): "NO restore failed (processes with PPID 1)",
    }
    assert lhcb.directory.exists(), "an image that could not be restored stays, and its directory"
