# SPDX-License-Identifier: MIT
"""Which job a process's environment names, and which sockets keep BLCR from a dump."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from tests.unit import real
from torqueckpt.checkpointers import registry
from torqueckpt.process import job_processes, proc, resources, tree
from torqueckpt.settings import Settings


@pytest.mark.parametrize(
    ("environment", "job"),
    [
        ({"PBS_JOBID": "12[3].srv", "LSB_JOBID": "7"}, "12[3].srv"),
        ({"LSB_JOBID": "12"}, "12"),
        ({"LSB_JOBID": "12", "LSB_JOBINDEX": "0"}, "12"),
        ({"LSB_JOBID": "12", "LSB_JOBINDEX": "3"}, "12[3]"),
        ({"LSB_JOBINDEX": "3"}, ""),
        ({}, ""),
    ],
)
def test_members_of_an_lsf_array_are_jobs_of_their_own(
    environment: dict[str, str], job: str
) -> None:
    assert job_processes.job_in(environment) == job


def test_blcr_refuses_a_program_with_a_socket_and_no_other(
    started: Callable[..., subprocess.Popen[bytes]],
) -> None:
    blcr = registry.load("blcr", Settings())
    told = []
    for code in ("import socket, sys; one = socket.socket()", "import sys"):
        code += "; print(1, flush=True); sys.stdin.read()"
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = started(*real.python(code), **pipes)
        assert process.stdout is not None and process.stdout.readline()
        root = proc.stat(process.pid)
        assert root is not None
        held = resources.of_tree([root], tree.open_links([root]))
        told.append([(each.severity, each.subject) for each in blcr.findings(held)])
    assert told == [[("refused", "TCP socket, descriptor 3")], []]
