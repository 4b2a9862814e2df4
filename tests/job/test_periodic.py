# SPDX-License-Identifier: MIT
"""The periodic service takes what is due and no more; real jobs, a server that is made up."""

from __future__ import annotations

import fcntl
import json
import math
import os
import subprocess
import time

import pytest

from tests.support import Running, Site, User, counting, wait_until

# In a process of its own, with the site's interpreter: the programs are found from there.
ROUND = """
import json, sys, time
from torqueckpt import settings
from torqueckpt.node.periodic import Periodic
from torqueckpt.ifl.errors import PbsError, SymbolMissing
from torqueckpt.ifl.records import Job

class Server:
    def __init__(self, told):
        self.told, self.asked, self.is_openpbs = told, [], told["openpbs"]
    def jobs(self, attributes=(), *, where=""):
        return [Job(name, attributes) for name, attributes in self.told["jobs"].items()]
    def job(self, name):
        return Job(name, self.told["jobs"][name])
    def checkpoint(self, job):
        self.asked.append(job)
        if self.is_openpbs:
            raise SymbolMissing(library="libpbs.so", symbol="pbs_checkpointjob")
        if self.told["refuses"]:
            raise PbsError(call="pbs_checkpointjob", text="not checkpointable", number=15066)

server = Server(json.load(sys.stdin))
clock, later = time.time, 0
time.time = lambda: clock() + later
service, taken = Periodic(settings.load()), []
for later in server.told["later"]:
    taken.append(service.round(server))
print(json.dumps({"taken": taken, "asked": server.asked}))
"""

_DUE = 4000  # later than now, in seconds, and the interval of most of these jobs is an hour


def rounds(
    site: Site,
    jobs: dict[str, dict[str, object]],
    refuses: bool = True,
    openpbs: bool = False,
    later: tuple[int, ...] = (_DUE,),
):
    """Rounds of one service, each so many seconds later than it is; by now an interval is over."""
    told = {"jobs": jobs, "refuses": refuses, "openpbs": openpbs, "later": later}
    python = site.root / "lib" / "torqueckpt" / "venv" / "bin" / "python"
    answer = subprocess.run(
        [python, "-I", "-c", ROUND], input=json.dumps(told), capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


@pytest.fixture
def running(site: Site, user: User) -> Running:
    site.configure(periodic_grace_seconds=0, jitter_seconds=0)
    started = site.start(user, user.script(counting(), user.directory()), "-c", "enabled")
    started.wait_for_line(1)
    return started


def as_told(running: Running, spec: str = "c=60") -> dict[str, object]:
    return {
        "job_state": "R",
        "exec_host": f"{os.uname().nodename}/0",
        "Checkpoint": spec,
        "session_id": str(running.leader()),
        "euser": running.site.owner_of(running.job),
    }


def test_what_is_due_is_asked_of_the_server_first(site: Site, running: Running) -> None:
    seen = rounds(site, {running.job: as_told(running)}, refuses=False)
    assert seen == {"taken": [[running.job]], "asked": [running.job]}
    assert site.rows() == []  # the server's MOM would do it


def test_where_the_server_refuses_the_hook_is_called_once_an_interval(
    site: Site, running: Running
) -> None:
    seen = rounds(site, {running.job: as_told(running)}, later=(_DUE, 0, 0))
    assert seen["taken"] == [[running.job], [], []]
    assert rounds(site, {running.job: as_told(running)}, later=(0,))["taken"] == [[]]
    assert [row["whole"] for row in site.rows(running.job)] == [True]


def test_a_checkpoint_that_is_under_way_is_not_asked_for_again(
    site: Site, running: Running
) -> None:
    assert subprocess.run(running.hook_argv()).returncode == 0
    with open(site.lineage(running.job) / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        seen = rounds(site, {running.job: as_told(running)}, refuses=False)
    assert seen == {"taken": [[]], "asked": []}
    assert rounds(site, {running.job: as_told(running)}, refuses=False)["asked"] == [running.job]


def test_what_the_job_asked_for_is_known_when_its_server_has_forgotten_it(
    site: Site, user: User, running: Running
) -> None:
    told = {**as_told(running), "Account_Name": "proj7", "queue": "long"}
    rounds(site, {running.job: told}, later=(_DUE, 0))
    script = site.call(user, "resume-job", running.job).stdout.splitlines()
    assert {"#PBS -A proj7", "#PBS -q long"} <= set(script)


def test_a_later_job_of_the_same_number_leaves_alone_what_the_earlier_one_asked_for(
    site: Site, user: User, running: Running
) -> None:
    told = {**as_told(running), "Account_Name": "proj7"}
    rounds(site, {running.job: told}, later=(_DUE, 0))
    time.sleep(2)  # start times are whole seconds
    later = subprocess.Popen(["/bin/sleep", "6000"])
    try:
        named = {**told, "session_id": str(later.pid), "Account_Name": "proj8", "Checkpoint": "u"}
        rounds(site, {running.job: named})
    finally:
        later.kill()
        later.wait()
    script = site.call(user, "resume-job", running.job).stdout.splitlines()
    assert "#PBS -A proj7" in script


@pytest.mark.parametrize(
    "change",
    [
        {"Checkpoint": "c=600"},  # not due yet
        {"job_state": "Q"},
        {"exec_host": "another/0+" + os.uname().nodename + "/0"},  # not mother superior
        {"Checkpoint": "enabled"},
        {"Checkpoint": "u"},
        {"Checkpoint": "w=600"},
    ],
)
def test_what_is_not_its_business_is_left_alone(
    site: Site, running: Running, change: dict[str, object]
) -> None:
    seen = rounds(site, {running.job: {**as_told(running), **change}})
    assert seen == {"taken": [[]], "asked": []}


def test_under_openpbs_it_is_moms_until_the_job_was_restarted_in_place(
    site: Site, running: Running
) -> None:
    told = {running.job: as_told(running, "w=1s")}
    assert rounds(site, told, openpbs=True) == {"taken": [[]], "asked": []}
    for verb in ("hold", "release"):
        assert site.call(None, verb, running.job).returncode == 0
    record = site.lineage(running.job) / "live.json"

    def restarted() -> bool:
        live = json.loads(record.read_text())
        return bool(live["attempt"] and live["tree"])

    wait_until(restarted)
    assert rounds(site, told, openpbs=True)["taken"] == [[running.job]]


def test_auto_goes_by_what_the_last_image_cost_and_by_the_walltime(
    site: Site, running: Running
) -> None:
    told = as_told(running, "c=auto")
    assert rounds(site, {running.job: told}, later=(300,))["taken"] == [
        []
    ]  # as c: after 10 minutes
    assert rounds(site, {running.job: told}, later=(601,))["taken"] == [[running.job]]
    cost = json.loads((site.lineage(running.job) / "1/manifest.json").read_text())
    best = math.sqrt(2 * cost["manifest"]["frozen_us"] / 1e6 * 720 * 3600)  # Young's

    def asked_for(later: float, **given: object) -> bool:
        seen = rounds(site, {running.job: {**told, **given}}, refuses=False, later=(int(later),))
        return bool(seen["asked"])

    assert not asked_for(0.9 * best)
    assert asked_for(1.1 * best + 10)
    walltime = {"Resource_List": {"walltime": str(int(1.4 * best + 80))}}
    assert not asked_for(1.3 * best, **walltime)  # the only one comes right before the end
    assert asked_for(1.4 * best + 10, **walltime)


def test_a_job_whose_checkpoint_fails_is_not_tried_at_every_round(
    site: Site, running: Running
) -> None:
    site.configure(periodic_grace_seconds=0, criu_path="/nonexistent")
    seen = rounds(site, {running.job: as_told(running)}, later=(_DUE,) * 3)
    assert seen["asked"] == [running.job]
    assert seen["taken"] == [[], [], []]


def test_a_user_is_told_that_it_is_roots(site: Site, user: User) -> None:
    answer = site.call(user, "periodic", "--once")
    assert (answer.returncode, "needs root" in answer.stderr) == (77, True)


def test_without_a_library_the_command_says_where_it_looked(site: Site) -> None:
    answer = site.call(None, "periodic", "--once")
    assert answer.returncode in (90, 94)
    assert len(answer.stderr.splitlines()) == 1
