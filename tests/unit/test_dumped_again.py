# SPDX-License-Identifier: MIT
"""A dump that meets the job with a connection which lasts a moment only is repeated at once."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit import real, samples
from torqueckpt.checkpoint import dumping, new_image
from torqueckpt.checkpoint.plan import CheckpointPlan
from torqueckpt.checkpoint.target import Target
from torqueckpt.checkpointers import registry
from torqueckpt.errors import DumpFailed
from torqueckpt.process import privileges, proc, tree
from torqueckpt.request import CheckpointRequest
from torqueckpt.settings import Settings

Start = Callable[..., subprocess.Popen[bytes]]
_CONNECTED = "it has an established TCP connection"


@pytest.fixture
def plan(started: Start, monkeypatch: pytest.MonkeyPatch) -> CheckpointPlan:
    job = started("/bin/sh", "-c", "sleep 60 & wait")
    real.execed(job.pid, "/bin/sh")
    real.children(job.pid, 1)
    root = proc.stat(job.pid)
    assert root is not None
    owner = privileges.owner_of_uid(os.getuid())
    target = Target(owner, root, [root], samples.live(), job.pid, [], False)
    settings = Settings()
    criu = registry.load("criu", settings)
    monkeypatch.setattr(criu, "lacks", lambda established_tcp: "")
    given: dict[str, Any] = {name: None for name in CheckpointPlan._fields}
    return CheckpointPlan(
        **{
            **given,
            "request": CheckpointRequest(sid=job.pid, job_id=samples.JOB),
            "settings": settings,
            "checkpointer": criu,
            "target": target,
            "tcp": (),
            "again": False,
        }
    )


@pytest.fixture
def dumps(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[CheckpointPlan]]:
    """Dumps that fail for these reasons, one after the other; they give the plans they had."""

    def fail(*reasons: str) -> list[CheckpointPlan]:
        plans: list[CheckpointPlan] = []

        def dump(plan: CheckpointPlan, *_: object) -> tuple[str, int]:
            plans.append(plan)
            if len(plans) <= len(reasons):
                raise DumpFailed(job=samples.JOB, reason=reasons[len(plans) - 1])
            return "an image", 0

        monkeypatch.setattr(new_image, "_once", dump)
        return plans

    return fail


def test_it_is_repeated_with_the_tree_as_it_is_then_and_ready_for_a_connection(
    plan: CheckpointPlan, dumps: Callable[..., list[CheckpointPlan]]
) -> None:
    plans = dumps(_CONNECTED, "its TCP connections: it was changed meanwhile")
    assert new_image.take(plan, None, b"") == ("an image", 0)
    assert [each.again for each in plans] == [False, True, True]
    now = [each.pid for each in tree.below(plan.target.root)]
    assert [each.pid for each in plans[1].target.tree] == now
    assert {pid for pid, _, _ in plans[1].target.open_files} == set(now)


def test_it_is_not_repeated_for_ever(
    plan: CheckpointPlan, dumps: Callable[..., list[CheckpointPlan]]
) -> None:
    plans = dumps(*[_CONNECTED] * 100)
    with pytest.raises(DumpFailed, match=_CONNECTED):
        new_image.take(plan, None, b"")
    assert 1 < len(plans) <= 10


def test_what_lasts_is_not_tried_again(
    plan: CheckpointPlan, dumps: Callable[..., list[CheckpointPlan]]
) -> None:
    plans = dumps("it uses io_uring, which CRIU does not save")
    with pytest.raises(DumpFailed, match="io_uring"):
        new_image.take(plan, None, b"")
    assert len(plans) == 1


@pytest.mark.parametrize("again", [False, True])
def test_a_tree_without_any_tcp_socket_is_dumped_without_what_connections_need(
    plan: CheckpointPlan, place: Path, again: bool
) -> None:
    generation: Any = SimpleNamespace(image_dir=place, work_dir=place)
    dump = dumping.what_to_dump(plan._replace(again=again), generation)
    assert dump.established_tcp is again
