# SPDX-License-Identifier: MIT
"""What forbids a dump for a moment only does not cost the job its checkpoint."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from tests.unit import real, samples
from torqueckpt import log
from torqueckpt.checkpoint import preflight
from torqueckpt.checkpoint.target import LastImage, Target
from torqueckpt.checkpointers import registry
from torqueckpt.checkpointers.base import Checkpointer
from torqueckpt.errors import CannotBeDumped
from torqueckpt.findings import HAZARD, NOTE, REFUSED, Finding
from torqueckpt.process import privileges, proc, tree
from torqueckpt.process.resources import finding
from torqueckpt.safe_files import Directory
from torqueckpt.settings import Settings
from torqueckpt.store.generation import Generation

Start = Callable[..., subprocess.Popen[bytes]]
_CONNECT = """\
import socket, sys, time
one = socket.socket(socket.AF_UNIX)
one.connect(NAME)
print(1, flush=True)
time.sleep(float(sys.argv[1]))
one.close()
time.sleep(60)
"""


@pytest.fixture
def criu() -> Checkpointer:
    return registry.load("criu", Settings())


@pytest.fixture
def connected(started: Start) -> Iterator[Callable[[float], Target]]:
    """A program that is connected to a socket outside for so many seconds."""
    name = f"\0torqueckpt-{os.getpid()}"
    ear = socket.socket(socket.AF_UNIX)
    ear.bind(name)
    ear.listen()

    def start(seconds: float) -> Target:
        code = _CONNECT.replace("NAME", repr(name))
        process = started(*real.python(code, str(seconds)), stdout=subprocess.PIPE)
        assert process.stdout is not None and process.stdout.readline()
        root = proc.stat(process.pid)
        assert root is not None
        owner = privileges.owner_of_uid(os.getuid())
        links = tree.open_links([root])
        return Target(owner, root, [root], samples.live(), process.pid, links, False)

    yield start
    ear.close()


def test_a_connection_that_lasts_a_moment_refuses_no_checkpoint(
    criu: Checkpointer, connected: Callable[[float], Target]
) -> None:
    preflight.before_dump(criu, connected(0.15))


def test_a_connection_that_stays_refuses_it_with_its_name(
    criu: Checkpointer, connected: Callable[[float], Target]
) -> None:
    target = connected(60)
    with pytest.raises(CannotBeDumped) as refused:
        preflight.before_dump(criu, target)
    assert f"process {target.root.pid} " in str(refused.value)
    assert f"@torqueckpt-{os.getpid()}" in str(refused.value)


def test_a_tree_with_very_many_reasons_has_a_line_that_a_comment_can_hold(
    criu: Checkpointer, connected: Callable[[float], Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = connected(0)
    each = finding(REFUSED, target.root, "its seccomp filter", "not for users", "run it without")
    monkeypatch.setattr(criu, "findings", lambda _: [each] * 3000)
    with pytest.raises(CannotBeDumped) as refused:
        preflight.before_dump(criu, target)
    assert "; and 2995 more; it runs on" in str(refused.value)
    assert len(str(refused.value)) < 1000


def test_what_is_good_to_know_is_logged_at_the_first_checkpoint_alone(
    criu: Checkpointer,
    connected: Callable[[float], Target],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    first = connected(0)
    with Directory.open(tmp_path) as directory:
        last = LastImage(Generation(1, directory), samples.a_manifest(), signed=True)
    again = first._replace(last=last)
    found = [finding(each, first.root, each, "it is so", "leave it") for each in (HAZARD, NOTE)]
    monkeypatch.setattr(criu, "findings", lambda _: found)
    told: list[str] = []
    monkeypatch.setattr(log, "warning", told.append)
    preflight.before_dump(criu, first)
    preflight.before_dump(criu, again)
    assert [line.partition(":")[0] for line in told] == [HAZARD, NOTE, HAZARD]


@pytest.mark.parametrize(
    ("subjects", "what", "dumped"),
    [
        (range(100), "not accepted yet: CRIU saves no connection that waits", True),
        ([7] * 100, "not accepted yet: CRIU saves no connection that waits", False),
        (range(100), "CRIU would dump it all the same", False),
    ],
)
def test_where_each_look_finds_another_connection_the_frozen_tree_decides(
    criu: Checkpointer,
    connected: Callable[[float], Target],
    monkeypatch: pytest.MonkeyPatch,
    subjects: Iterable[int],
    what: str,
    dumped: bool,
) -> None:
    target, left = connected(0), iter(subjects)

    def found(_: object) -> list[Finding]:
        return [finding(REFUSED, target.root, f"TCP connection to [::1]:{next(left)}", what, "")]

    monkeypatch.setattr(criu, "findings", found)
    if dumped:
        assert preflight.before_dump(criu, target).root == target.root
    else:
        with pytest.raises(CannotBeDumped, match="TCP connection"):
            preflight.before_dump(criu, target)
