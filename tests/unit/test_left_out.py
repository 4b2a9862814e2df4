# SPDX-License-Identifier: MIT
"""What an image would lack of a job refuses its checkpoint, unless the setting says otherwise."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.unit import real
from torqueckpt.checkpoint import left_out
from torqueckpt.findings import HAZARD, REFUSED, Process
from torqueckpt.process import job_processes, privileges, proc, resources, sockets, tree

Start = Callable[..., subprocess.Popen[bytes]]


def _root(started: Start, line: str, expected: list[str]) -> Iterator[proc.Stat]:
    """The root of a job that runs this; expected: names of what leaves it."""
    name = f"{os.getpid()}.left"
    process = started("/bin/sh", "-c", line, env={**os.environ, "PBS_JOBID": name})
    root = proc.stat(process.pid)
    assert root is not None
    me = privileges.owner_of_uid(os.getuid())

    def names() -> list[str]:
        strays = left_out.strays(tree.below(root), root.pid, me, (), True)
        return [each.where.name for each in strays if isinstance(each.where, Process)]

    real.until(lambda: names() == expected, "its daemon")
    left = [each.pid for each in job_processes.strays(tree.below(root), root.pid, os.getuid())]
    yield root
    for pid in left:
        real.kill(pid)


@pytest.fixture
def job(started: Start) -> Iterator[proc.Stat]:
    """A job's root, whose daemon has left it."""
    yield from _root(started, "setsid sh -c 'sleep 63 & :'; sleep 65; :", ["sleep"])


@pytest.fixture
def job_of_two(started: Start) -> Iterator[proc.Stat]:
    """A job's root, whose daemon has left it and has a child."""
    line = "setsid sh -c '(sleep 63; :) & :'; sleep 65; :"
    yield from _root(started, line, ["sh", "sleep"])


def severities(root: proc.Stat, *leave_out: str, lost: bool = True) -> list[str]:
    me = privileges.owner_of_uid(os.getuid())
    found = left_out.strays(tree.below(root), root.pid, me, leave_out, lost)
    return [each.severity for each in found]


def test_a_daemon_that_left_the_tree_refuses_the_checkpoint(job: proc.Stat) -> None:
    assert severities(job) == [REFUSED]
    assert severities(job, "ssh-agent", "sleepy") == [REFUSED]


@pytest.mark.parametrize("glob", ["sleep", "sl*", "*"])
def test_one_that_leave_out_names_is_told_only(job: proc.Stat, glob: str) -> None:
    assert severities(job, "ssh-agent", glob) == [HAZARD]


def test_what_has_been_started_by_one_that_leave_out_names_is_told_only(
    job_of_two: proc.Stat,
) -> None:
    assert severities(job_of_two, "sh") == [HAZARD, HAZARD]
    assert severities(job_of_two, "sleep") == [REFUSED, HAZARD]


def test_beside_a_process_that_somebody_named_it_is_told_only(job: proc.Stat) -> None:
    assert severities(job, lost=False) == [HAZARD]


def test_what_is_older_than_the_job_is_of_an_earlier_life_of_it(job: proc.Stat) -> None:
    me = privileges.owner_of_uid(os.getuid())
    (daemon,) = left_out.strays(tree.below(job), job.pid, me, (), True)
    assert isinstance(daemon.where, Process)
    began = proc.stat(daemon.where.pid)
    assert began is not None
    later = job._replace(start_ticks=began.start_ticks + 1)
    assert list(left_out.strays([later], 0, me, (), True)) == []


_HERE, _THERE = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))


def connected(name: str, remote: bytes, monkeypatch: pytest.MonkeyPatch) -> resources.Holdings:
    me = proc.stat(os.getpid())
    assert me is not None
    row = sockets.Tcp("7", sockets.ESTABLISHED, (_HERE, 4000), (remote, 5000))
    monkeypatch.setattr(resources.net, "tcp", lambda: [row])
    held = resources.of_tree([me], [])
    return held._replace(tree={me.pid: me._replace(name=name)}, sockets={"7": (me.pid, 3)})


@pytest.mark.parametrize(
    ("name", "remote", "expected"),
    [
        ("mpirun", _THERE, [REFUSED]),
        ("mpiexec.hydra", _THERE, [REFUSED]),
        ("mpirun", _HERE, []),
        ("solver", _THERE, []),
        ("ssh", _THERE, [REFUSED]),
        ("orted", _HERE, [HAZARD]),
    ],
)
def test_a_part_on_another_node_refuses_it(
    name: str, remote: bytes, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = connected(name, remote, monkeypatch)
    members = list(held.tree.values())
    assert [each.severity for each in left_out.elsewhere(members, held, ())] == expected
    named = [each.severity for each in left_out.elsewhere(members, held, (name,))]
    assert named == [HAZARD] * len(expected)
