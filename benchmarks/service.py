# SPDX-License-Identifier: MIT
"""The periodic service's round, with a server that answers from memory."""

from __future__ import annotations

import json
import subprocess

from benchmarks.many import Many
from benchmarks.place import Place
from benchmarks.rows import Row, figure

_ROUNDS = """
import json, os, socket, sys
from torqueckpt import settings
from torqueckpt.node.periodic import Periodic
from torqueckpt.ifl.records import Job

told = json.load(sys.stdin)
here = socket.gethostname()

def job(number):
    host = here if number <= told["here"] else "elsewhere"
    return Job(f"{number}.bench", {
        "Job_Owner": told["user"] + "@" + here, "job_state": "R", "exec_host": host + "/0",
        "Checkpoint": "c=99999", "session_id": "1", "euser": told["user"]})

class Server:
    is_openpbs = False
    listed = [job(number) for number in range(1, told["jobs"] + 1)]
    def jobs(self, attributes=(), *, where=""):
        return self.listed
    def job(self, name):
        return self.listed[int(name.partition(".")[0]) - 1]
    def checkpoint(self, job):
        raise AssertionError("nothing is due")

def used():  # the service and its workers
    return sum(os.times()[:4])

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20

service, server, spent, memory = Periodic(settings.load()), Server(), [], []
for _ in range(told["rounds"]):
    before = used()
    taken = service.round(server)
    spent.append(used() - before)
    memory.append(resident())
print(json.dumps({"spent": spent, "memory": memory}))
"""


def rows(where: Place, many: Many, jobs: int, rounds: int) -> dict[str, list[Row]]:
    found = []
    for here in (min(100, many.jobs), min(jobs, many.jobs)):
        size = f"{jobs} jobs, {here} of them here, all with images"
        told = {"user": where.user.name, "jobs": jobs, "here": here, "rounds": rounds + 1}
        python = where.site.root / "lib" / "torqueckpt" / "venv" / "bin" / "python"
        answer = subprocess.run(
            [python, "-I", "-c", _ROUNDS],
            input=json.dumps(told),
            capture_output=True,
            text=True,
            check=True,
        )
        measured = json.loads(answer.stdout)
        grown = measured["memory"][-1] - measured["memory"][0]
        first = f"first round {measured['spent'][0]:.2f} s"
        spent = measured["spent"][1:]
        target = 1.0 if here < jobs else None  # no node has all of them: that shows how it grows
        found.append(figure("CPU of a round", size, spent, "s", target, beside=first))
        work = f"memory grown in {rounds} rounds"
        found.append(figure(work, size, [grown], "MiB", target))
    return {"Periodic service": found}
