# SPDX-License-Identifier: MIT
"""kill -9 of whoever takes part in a checkpoint or a restart, at random moments.

Four jobs go through it in turn.  After each kill the job runs on, or goes on from its newest image;
the next checkpoint works; in the end each line of each job is there once.  TORQUECKPT_SEED draws
others than usual.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

from tests.faults import strace
from tests.faults.aftermath import hook, images_whole, listed_truly, nothing_left, runs_untouched
from tests.faults.conftest import JOB, Faulty
from tests.faults.parts import part, status
from tests.faults.test_killed_checkpoint import sessions
from tests.support import (
    LIMIT_SECONDS,
    Running,
    Site,
    User,
    alive,
    kill,
    session,
    wait_until,
)

SEED = int(os.environ.get("TORQUECKPT_SEED", "18"))
_LONGEST = 0.6  # seconds from a process's start to its end
_PIDFD_GETFD, _TCP_REPAIR = 438, 19

_COUNT = """
i = 0
while not os.path.exists("stop"):
    i += 1{each}
    print("line", i)
    time.sleep(0.1)
raise SystemExit(7)
"""
_PAIR = """
ear = socket.create_server(("127.0.0.1", 0))
if os.fork() == 0:
    mouth = socket.create_connection(ear.getsockname())
    ear.close()
    while word := mouth.recv(8):
        mouth.sendall(word)
    raise SystemExit
talk, _ = ear.accept()
ear.close()
"""
_SAY = """
    word = b"%08d" % i
    talk.sendall(word)
    assert talk.recv(8, socket.MSG_WAITALL) == word"""
_THREADS = """
for _ in range(3):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
"""


def _python(before: str, each: str = "") -> str:
    imports = "#!/usr/bin/python3 -u\nimport os, socket, threading, time\n"
    return imports + before + _COUNT.format(each=each)


KINDS = {
    "plain": JOB,
    "threads": _python(_THREADS),
    "connection": _python(_PAIR, _SAY),
    "large": _python("block = os.urandom(1 << 20) * 70\n"),  # verified while it is restored
}
WAYS = {
    "checkpoint": ("hook", "keeper", "timeout", "criu", "worker", "session"),
    "hold": ("hook", "keeper", "timeout", "criu", "worker", "session", "guard"),
    "resume": ("resume", "door", "criu", "guard"),
    "in place": ("mom-restart", "criu", "guard"),
}
# Killed while its code is in the job, CRIU takes that along (docs/reliability.md); timeout(1) is
# CRIU's parent, without which it is ended.
_MAY_COST_THE_JOB = ("criu", "timeout")


def part_of(kind: str, way: str) -> list[str]:
    """Who takes part."""
    others = {
        "connections": kind == "connection",
        "verifier": kind == "large" and way == "in place",
    }
    return [*WAYS[way], *(who for who, is_there in others.items() if is_there)]


class Kills:
    """kill -9 of one who takes part, at some moment of his life; how long that is, it learns."""

    def __init__(self, user: User, chance: random.Random) -> None:
        self.hits, self.late = Counter[tuple[str, str]](), 0
        self._uid, self._chance = user.uid, chance
        self._spans: dict[tuple[str, str], float] = {}

    def one(self, way: str, who: str, top: int, over: Callable[[], bool]) -> bool:
        """Wait for him, and for a moment, and kill him; False when that came too late.

        over: whether nobody is to be waited for any more.
        """
        span = self._spans.setdefault((way, who), _LONGEST / 3)
        moment = self._chance.uniform(0, span)
        pid = part(who, top, self._uid)
        while pid is None and not over():
            pid = part(who, top, self._uid)
        time.sleep(moment)
        hit = pid is not None and alive(pid)
        if hit and pid is not None:
            for each in session(pid) if who == "session" else [pid]:
                kill(each)
            self.hits[way, who] += 1
        self.late += not hit
        self._spans[way, who] = min(span * (1.1 if hit else 0.6), _LONGEST)
        return hit


def ended(running: Running) -> bool:
    return running.process.poll() is not None


def goes_on(running: Running) -> bool:
    """Whether it writes lines of its own; else it has ended."""
    before = wait_until(lambda: ended(running) or running.spooled().count("\n"))
    wait_until(lambda: ended(running) or running.spooled().count("\n") > before + 3)
    return not ended(running)


def no_rights_left(user: User) -> None:
    """No process of the user's has a capability."""

    def having() -> list[int]:
        held = []
        for pid in user.processes():
            with suppress(FileNotFoundError, ProcessLookupError):
                held += [pid] if int(status(pid, "CapPrm")[0], 16) else []
        return held

    wait_until(lambda: not having())


def no_directory_left(user: User) -> None:
    """In /run, of root's process for connections; those of other tests are other users'."""
    left = []
    for each in Path("/run").glob("torqueckpt-tcp-*/socket"):
        with suppress(FileNotFoundError):
            left += [each] if each.stat().st_uid == user.uid else []
    assert left == []


def no_socket_in_repair(user: User) -> None:
    for pid in user.processes():
        with suppress(FileNotFoundError, ProcessLookupError):
            for place in Path(f"/proc/{pid}/fd").iterdir():
                if os.readlink(place).startswith("socket:["):
                    assert not _in_repair(pid, int(place.name)), f"{place} is in repair mode"


def _in_repair(pid: int, fd: int) -> bool:
    process = os.pidfd_open(pid)
    try:
        copy = ctypes.CDLL(None).syscall(_PIDFD_GETFD, process, fd, 0)
    finally:
        os.close(process)
    if copy < 0:  # closed meanwhile
        return False
    with socket.socket(fileno=copy) as it:
        if it.type != socket.SOCK_STREAM or it.family != socket.AF_INET:
            return False
        return bool(it.getsockopt(socket.IPPROTO_TCP, _TCP_REPAIR))


class Rounds:
    """Jobs of each kind; in a round something is done to one of them, and one is killed at it."""

    def __init__(self, site: Site, user: User, jobs: Faulty) -> None:
        self.site, self.user, self.jobs = site, user, jobs
        self.chance = random.Random(SEED)
        self.kills = Kills(user, self.chance)
        self.running: dict[str, Running] = {}
        self.with_criu, self.longest = 0, 0.0

    def start(self, kind: str) -> None:
        self.running[kind] = self.jobs.start(KINDS[kind])
        assert hook(self.running[kind], "first").returncode == 0

    def one(self, number: int, way: str) -> None:
        kind = self.chance.choice(list(self.running))
        who = self.chance.choice(part_of(kind, way))
        killed = {
            "checkpoint": self._in_a_dump,
            "hold": self._in_a_dump,
            "resume": self._in_a_resume,
            "in place": self._in_place,
        }[way]
        try:
            self.running[kind] = killed(self.running[kind], way, who, f"r{number}")
            self._aftermath(self.running[kind], f"after-r{number}")
        except (AssertionError, subprocess.SubprocessError) as failure:
            told = f"seed {SEED}, round {number}: {who} killed in a {way} of {kind}: {failure}"
            raise AssertionError(told) from failure

    def _in_a_dump(self, running: Running, way: str, who: str, name: str) -> Running:
        before = self.site.generations(running.job)[-1]
        argv = running.hook_argv(name=name, signal=15 if way == "hold" else 0)
        called = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, start_new_session=True)
        hit = self.kills.one(way, who, called.pid, lambda: called.poll() is not None)
        said = called.communicate(timeout=LIMIT_SECONDS)[1]
        assert called.returncode != 70, said
        if goes_on(running):
            return running
        if way != "hold" or self.site.generations(running.job)[-1] == before:
            assert hit and who in _MAY_COST_THE_JOB, f"the job is lost: {said}"
            self.with_criu += 1
        return self.jobs.resume(running)

    def _in_a_resume(self, running: Running, way: str, who: str, _: str) -> Running:
        running.crash()
        again = self.site.resume(self.user, running.job, running.directory)
        return again if self._restarts(again, way, who) else self.jobs.resume(running)

    def _in_place(self, running: Running, way: str, who: str, _: str) -> Running:
        answer = self.site.call(None, "hold", running.job)
        assert answer.returncode == 0, answer.stderr
        words = [str(self.site.program), "release", running.job]
        asked = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.kills.one(way, who, running.process.pid, lambda: asked.poll() is not None)
        if asked.wait(LIMIT_SECONDS) != 0 and not ended(running):  # it stays held
            answer = self.site.call(None, "release", running.job)
            assert answer.returncode == 0, answer.stderr
        return running if goes_on(running) else self.jobs.resume(running)

    def _restarts(self, running: Running, way: str, who: str) -> bool:
        noted = f'"restart", "job": "{running.job}"'
        (journal,) = self.site.store.glob(f"jobs/{self.user.name}/journal")
        before = journal.read_text().count(noted)

        def over() -> bool:
            return ended(running) or journal.read_text().count(noted) > before

        self.kills.one(way, who, running.process.pid, over)
        wait_until(over)
        return goes_on(running)

    def _tree(self, running: Running) -> dict[str, int] | None:
        """The root of its tree, when its restart has come to that; a supervisor has a guard too."""
        record = json.loads((self.site.lineage(running.job) / "live.json").read_text())
        tree: dict[str, int] | None = record["tree"]
        return tree

    def _aftermath(self, running: Running, name: str) -> None:
        tree = wait_until(lambda: self._tree(running))["pid"]
        runs_untouched(running, tree)
        began = time.monotonic()
        answer = hook(running, name)
        self.longest = max(self.longest, time.monotonic() - began)
        assert answer.returncode == 0, answer.stderr
        runs_untouched(running, tree)
        assert goes_on(running)
        images_whole(self.site, running)
        listed_truly(self.site, running)
        nothing_left(self.site, self.user, sessions(self.site))
        no_rights_left(self.user)
        no_directory_left(self.user)
        no_socket_in_repair(self.user)


def test_whoever_is_killed_at_whatever_moment_the_job_and_its_last_image_survive(
    site: Site, user: User, jobs: Faulty, counted: Callable[..., None]
) -> None:
    times = strace.most(6, 300)
    rounds = Rounds(site, user, jobs)
    for kind in rounds.chance.sample(list(KINDS), strace.most(2, len(KINDS))):
        rounds.start(kind)
    for number in count():
        if sum(rounds.kills.hits.values()) == times:
            break
        rounds.one(number, list(WAYS)[number % len(WAYS)])
    for running in rounds.running.values():
        jobs.ends_well(running)
    each = Counter[str]()
    for (_, who), killed in rounds.kills.hits.items():
        each[who] += killed
    told = ", ".join(f"{who} {killed}" for who, killed in sorted(each.items()))
    counted(
        "kill -9 of one who takes part, at a random moment",
        times,
        f"{told}; too late, none killed: {rounds.kills.late}; gone with CRIU and resumed: "
        f"{rounds.with_criu}; the next checkpoint took {rounds.longest:.1f} s at most",
    )
