# SPDX-License-Identifier: MIT
"""Ways in by root's programs: MOM's hooks, the service, drain, doctor, `torqueckpt run`."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.evil.evil_criu import EvilCriu, keyring_of_roots
from tests.job.test_owner import TALK
from tests.job.test_periodic import as_told, rounds
from tests.job.test_pre_dump import _BIG, _in_memory
from tests.job.test_shims import Loose
from tests.support import Running, Site, User, counting, lines, wait_until


@pytest.fixture(autouse=True)
def keyring() -> Iterator[None]:
    with keyring_of_roots():
        yield


@pytest.fixture
def running(site: Site, user: User, evil: EvilCriu) -> Running:
    """A job that has an honest image already."""
    site.configure(periodic_grace_seconds=0, repeat_window_seconds=0)
    started = site.start(user, user.script(counting(), user.directory()), "-c", "enabled")
    started.wait_for_line(1)
    assert subprocess.run(started.hook_argv(name="good")).returncode == 0
    return started


@pytest.fixture
def leaked() -> Iterator[int]:
    """A descriptor of a file of root's that a daemon has left open for all that it starts."""
    fd = os.open("/etc/shadow", os.O_RDONLY)
    yield fd
    os.close(fd)


@pytest.mark.parametrize("signal", [0, 15], ids=["goes_on", "ends"])
@pytest.mark.parametrize("then", ["go", "fail"])
def test_mom_checkpoint(
    evil: EvilCriu, running: Running, leaked: int, then: str, signal: int
) -> None:
    evil.tell(then, stay="yes")
    evil.in_place()
    words = running.hook_argv(name=then, signal=signal)
    done = subprocess.run(words, pass_fds=(leaked,), capture_output=True, text=True)
    assert (done.returncode == 0) == (then == "go"), done.stderr
    evil.gained_nothing(f"mom-checkpoint, {then}, signal {signal}", "dump")
    if signal and then == "go":
        assert running.wait() == 128 + 9
        assert evil.site.call(evil.user, "verify", running.job).returncode == 0
    else:
        evil.unharmed(running)


def test_the_pre_dump_and_the_check_before_it(site: Site, user: User, evil: EvilCriu) -> None:
    running = site.start(user, user.script(_BIG, user.directory()), "-c", "enabled")
    running.wait_for_line(1)
    wait_until(lambda: _in_memory(running) > 80 << 20)
    evil.tell("go", stay="yes", passes="check")
    evil.in_place(pre_dump="auto")
    done = subprocess.run(running.hook_argv(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    evil.gained_nothing("mom-checkpoint with pre_dump", "check", "pre-dump", "dump")
    assert running.wait() == 7
    assert running.out() == lines(60)


@pytest.mark.parametrize("then", ["go", "fail"])
def test_mom_restart(site: Site, user: User, evil: EvilCriu, running: Running, then: str) -> None:
    assert site.call(None, "hold", running.job).returncode == 0
    evil.tell(then, stay="yes")
    evil.in_place(pid_wait_seconds=0)
    answer = site.call(None, "release", running.job)
    if then == "go":
        assert answer.returncode == 0
        site.wait_for_restart(running)
        evil.gained_nothing("mom-restart, go", "restore")
        evil.unharmed(running)
        return
    assert answer.returncode == 83
    evil.gained_nothing("mom-restart, fail", "restore")
    evil.out_of_place()
    assert site.call(None, "release", running.job).returncode == 0
    assert running.wait() == 7


def test_the_periodic_services_call_of_the_hook(
    site: Site, evil: EvilCriu, running: Running
) -> None:
    evil.tell("go", stay="yes")
    evil.in_place(periodic_grace_seconds=0, repeat_window_seconds=0)
    taken = rounds(site, {running.job: as_told(running)})["taken"]
    assert taken == [[running.job]]
    evil.gained_nothing("periodic service", "dump")
    evil.unharmed(running)


def test_a_job_with_connections(site: Site, user: User, evil: EvilCriu) -> None:
    """What criu is given for them is no right on the node's network."""
    running = site.start(user, user.script(TALK, user.directory()), "-c", "enabled")
    running.wait_for_line(1)
    evil.tell("go", stay="yes")
    evil.in_place()
    for verb in ("hold", "release"):
        assert site.call(None, verb, running.job).returncode == 0
    site.wait_for_restart(running)
    evil.gained_nothing("hold and release of a job with connections", "dump", "restore")
    evil.unharmed(running)


def test_a_connection_that_the_job_never_had(site: Site, user: User, evil: EvilCriu) -> None:
    """Root's program, which restores a job's connections, is asked for another one."""
    running = site.start(user, user.script(TALK, user.directory()), "-c", "enabled")
    running.wait_for_line(1)
    assert site.call(None, "hold", running.job).returncode == 0
    evil.tell("fail", asks="yes")
    evil.in_place(pid_wait_seconds=0)
    assert site.call(None, "release", running.job).returncode == 83
    evil.gained_nothing("mom-restart, a connection is forged", "restore")
    evil.out_of_place()
    assert site.call(None, "release", running.job).returncode == 0
    assert running.wait() == 7
    assert running.out() == lines(30)


# drain starts no checkpointer: it has the server hold the jobs, whose MOM then calls the hook.
_DRAIN = """
import json, subprocess, sys
from torqueckpt import settings
from torqueckpt.ifl.records import Job
from torqueckpt.node.drain import drain

class Server:
    def __init__(self, told):
        self.told, self.state = told, "R"
    def set_node(self, *words): pass
    def version(self): return "6.1.3"
    def jobs(self, attributes): return [self.job(self.told["job"])]
    def job(self, name, attributes=()):
        return Job(name, {**self.told["attributes"], "job_state": self.state})
    def hold(self, job, kind):
        subprocess.run(self.told["hook"], check=True)
        self.state = "H"
    def comment(self, *words): pass

told = json.load(sys.stdin)
rows = drain(told["node"], settings.load(), Server(told))
print(json.dumps([row.outcome for row in rows]))
"""


def test_drain(site: Site, evil: EvilCriu, running: Running) -> None:
    evil.tell("go", stay="yes")
    evil.in_place()
    told = {
        "job": running.job,
        "node": os.uname().nodename,
        "attributes": {**as_told(running), "Job_Owner": f"{evil.user.name}@x"},
        "hook": running.hook_argv(signal=15),
    }
    python = site.root / "lib" / "torqueckpt" / "venv" / "bin" / "python"
    done = subprocess.run(
        [python, "-I", "-c", _DRAIN], input=json.dumps(told), capture_output=True, text=True
    )
    assert done.stdout == '["held"]\n', done.stdout + done.stderr
    evil.gained_nothing("drain", "dump")
    assert site.call(evil.user, "verify", running.job).returncode == 0


def test_the_shims_that_root_types(site: Site, user: User, evil: EvilCriu) -> None:
    loose = Loose(site, user)
    evil.tell("go", stay="yes")
    evil.in_place()
    image, out = loose.directory / "image", user.script("", loose.directory, "out-of-it")
    made = loose.call("chkpnt", "-p", loose.pid, "-od", image, by_root=True)
    assert made.returncode == 0, made.stderr
    evil.gained_nothing("chkpnt by root", "dump")
    loose.end()
    loose.may_end.touch()
    with out.open("r+") as stream:
        words = [site.root / "bin" / "resume", "-od", image]
        done = subprocess.run(words, cwd=loose.directory, stdin=-3, stdout=stream, stderr=stream)
    assert (done.returncode, out.read_text()) == (7, lines(40))
    evil.gained_nothing("resume by root", "restore")


def test_torqueckpt_run(site: Site, user: User, evil: EvilCriu) -> None:
    evil.by_himself()
    evil.tell("go", stay="yes")
    evil.in_place()
    running = site.start(user, user.script(counting(), user.directory()), "-c", "c=1s")
    site.wait_for_images(running.job)
    evil.tell("go", tries="no")
    site.wait_for_images(running.job, 2)
    evil.gained_nothing("torqueckpt run", "dump")
    evil.unharmed(running)


def test_the_doctors_check_and_its_proof(site: Site, user: User, evil: EvilCriu) -> None:
    evil.tell("go", stay="yes")
    evil.in_place()
    done = site.call(None, "doctor", "--json", "--job-user", user.name)
    rows = json.loads(done.stdout)["rows"]
    proof = [row["outcome"] for row in rows if row["group"] == "proof"]
    assert proof[0] == "ok", rows
    evil.gained_nothing("doctor", "check", "dump", "restore")
    nobodys = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _nobodys(pid)]
    assert nobodys == []


def _nobodys(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return "\nUid:\t65534\t" in status and "\nCapPrm:\t0000000000000000" not in status
