# SPDX-License-Identifier: MIT
"""How long the status of many jobs takes, beside `qstat -f` in the same run.

python -m tests.ifl.statjob_beside_qstat torque|openpbs [JOBS]

Submits that many held jobs, asks in turn, prints medians and ratios, deletes the jobs.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from torqueckpt.ifl.connection import CHANGE, SERVER, Connection
from torqueckpt.ifl.errors import PbsError
from torqueckpt.ifl.library import VARIABLE, Library

from .batch import Batch, find, ordinary_user

TURNS = 7
PLACES = {
    "torque": ("TORQUECKPT_TORQUE", "libtorque.so", False),
    "openpbs": ("TORQUECKPT_OPENPBS", "libpbs.so", True),
}


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def measure(batch: Batch, jobs: int) -> None:
    os.environ[VARIABLE] = str(batch.library)
    from torqueckpt.compat import pbs

    with Connection(library=Library(str(batch.library))) as connection:
        c = pbs.pbs_connect(None)
        statuses = pbs.pbs_statjob(c, "", "NULL", "NULL")
        attributes = sum(len(status.attribs) for status in statuses)
        ways: dict[str, Callable[[], object]] = {
            "qstat -f": lambda: subprocess.run(
                [str(batch.prefix / "bin" / "qstat"), "-f"], stdout=subprocess.DEVNULL, check=True
            ),
            "pbs_statjob": lambda: pbs.pbs_statjob(c, "", "NULL", "NULL"),
            "Connection.jobs": connection.jobs,
            "Connection.jobs of two attributes": lambda: connection.jobs(
                ["job_state", "Job_Owner"]
            ),
        }
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(TURNS):
            for name, work in ways.items():
                taken[name].append(seconds(work))
        pbs.pbs_disconnect(c)
    medians = {name: statistics.median(times) for name, times in taken.items()}
    print(f"{len(statuses)} jobs, {attributes} attributes, version {batch.version}")
    for name, median in medians.items():
        print(f"{name:36} {median:7.3f} s  {median / medians['qstat -f']:5.2f} of qstat -f")


def main() -> None:
    variable, library, is_openpbs = PLACES[sys.argv[1]]
    jobs = int(sys.argv[2]) if len(sys.argv) > 2 else 5000
    batch, found = find(variable, library, is_openpbs)
    user = ordinary_user()
    if batch is None or user is None:
        sys.exit(found)
    script = Path(user.pw_dir, "torqueckpt-many.sh")
    script.write_text("#!/bin/sh\n")
    with Connection(library=Library(str(batch.library))) as pbs:
        pbs.manage(CHANGE, SERVER, "", {"scheduling": "False"})
        try:
            submitted = seconds(
                lambda: batch.as_user(
                    user, "submit", str(script), {"Job_Name": "many", "Hold_Types": "u"}, times=jobs
                )
            )
            print(f"submitted {jobs} jobs in {submitted:.1f} s")
            measure(batch, jobs)
        finally:
            script.unlink()
            for job_id in pbs.select({"Job_Name": "many"}):
                with contextlib.suppress(PbsError):  # those of an earlier run, complete by now
                    pbs.delete(job_id)
            pbs.manage(CHANGE, SERVER, "", {"scheduling": "True"})


if __name__ == "__main__":
    main()
