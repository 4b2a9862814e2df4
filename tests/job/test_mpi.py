# SPDX-License-Identifier: MIT
"""MPI programs of several processes over loopback: what becomes of them at a checkpoint."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.job.test_checkpointers import NEEDS_DMTCP, configure, hook
from tests.support import Running, Site, User, lines, wait_until

_RING = """
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int rank, size, steps = argc > 1 ? atoi(argv[1]) : 1;
    long block[1000] = {0}, sum = 0, total;

    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    for (int step = 1; step <= steps; step++) {
        block[step % 1000] += (long)step * (rank + 1);
        MPI_Sendrecv_replace(block, 1000, MPI_LONG, (rank + 1) % size, 0,
                             (rank + size - 1) % size, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        while (rank == 0 && step == steps && access("may-end", F_OK) != 0)
            usleep(50000);
        if (rank == 0) {
            printf("line %d\\n", step);
            fflush(stdout);
        }
        usleep(100000);
        MPI_Barrier(MPI_COMM_WORLD);
    }
    for (int i = 0; i < 1000; i++)
        sum += block[i];
    MPI_Reduce(&sum, &total, 1, MPI_LONG, MPI_SUM, 0, MPI_COMM_WORLD);
    if (rank == 0) {
        printf("%s\\n", total == 10L * steps * (steps + 1) / 2 ? "right" : "wrong");
        fflush(stdout);
    }
    MPI_Finalize();
    return 0;
}
"""
_LAUNCH = {
    "openmpi": "mpirun.openmpi -n 4 --oversubscribe --mca btl tcp,self --mca btl_tcp_if_include lo"
    " --mca pml ob1 --mca memory ^patcher --mca plm isolated",
    "mpich": "mpiexec.mpich -n 4",
}
_STEPS = 60
_JOB = """#!/bin/sh
cd {where}
export HWLOC_COMPONENTS=x86,stop  # DMTCP ends a program that looks through /sys
export UCX_TLS={transports}
{launch} ./ring {steps}
echo status $?
exit 7
"""


def started(site: Site, user: User, kind: str, transports: str = "^sysv") -> Running:
    """The ring as a job; skips where it cannot be built and launched."""
    compiler, launch = shutil.which(f"mpicc.{kind}"), _LAUNCH[kind]
    if compiler is None or shutil.which(launch.split()[0]) is None:
        pytest.skip(f"no {kind} to build a program with here")
    where = user.directory()
    (where / "ring.c").write_text(_RING)
    subprocess.run([compiler, "-O1", "-o", where / "ring", where / "ring.c"], check=True)
    script = _JOB.format(where=where, launch=launch, steps=_STEPS, transports=transports)
    job = site.start(user, user.script(script, where), "-c", "enabled")
    job.wait_for_line(10)
    return job


@pytest.mark.parametrize("kind", sorted(_LAUNCH))
def test_with_criu_an_mpi_program_goes_on_once_its_addresses_are_free(
    site: Site, user: User, kind: str
) -> None:
    job = started(site, user, kind)
    answer = hook(job)
    assert answer.returncode == 0, answer.stderr
    job.wait_for_line(15)
    job.crash()
    again = site.resume(user, job.job, job.directory)
    assert again.wait() == 7, again.err()
    assert again.out() == lines(_STEPS) + "right\nstatus 0\n"


def test_mpich_is_told_how_to_do_without_sysv_shared_memory(site: Site, user: User) -> None:
    job = started(site, user, "mpich", "posix,sysv,self")
    answer = hook(job)
    assert (answer.returncode, "UCX_TLS=^sysv" in answer.stderr) == (19, True)


@NEEDS_DMTCP
def test_with_dmtcp_an_mpi_program_goes_on_to_its_last_step(site: Site, user: User) -> None:
    """To that only: Open MPI 4.1.4 sometimes waits for ever then, in MPI_Reduce or MPI_Finalize."""
    configure(site, "dmtcp")
    job = started(site, user, "openmpi")
    answer = hook(job)
    assert answer.returncode == 0, answer.stderr
    job.wait_for_line(15)
    job.crash()
    again = site.resume(user, job.job, job.directory)
    again.may_end.touch()

    def said() -> str:
        return again.spooled() if again.process.poll() is None else again.out()

    wait_until(lambda: f"line {_STEPS}\n" in said())
    assert said().startswith(lines(_STEPS))
