# SPDX-License-Identifier: MIT
"""Work that is shared among processes gives what it would have given in one."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

import pytest

from torqueckpt.process import parallel

_ITEMS = [str(number) for number in range(1000)]


@pytest.fixture(autouse=True)
def four_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})


def test_results_come_in_order_from_several_processes() -> None:
    def work(part: Sequence[str]) -> list[tuple[str, int]]:
        return [(each, os.getpid()) for each in part]

    found = parallel.shared(_ITEMS, work)
    assert [each for each, _ in found] == _ITEMS
    assert len({pid for _, pid in found}) == 4


@pytest.mark.parametrize("how", ["killed", "failed"])
def test_the_part_of_a_process_that_was_killed_is_done_all_the_same(how: str) -> None:
    first = os.getpid()

    def work(part: Sequence[str]) -> list[str]:
        if os.getpid() != first and "500" in part:
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ValueError("in one of them")
        return list(part)

    assert parallel.shared(_ITEMS, work) == _ITEMS


def test_an_error_in_the_work_itself_comes_out() -> None:
    def work(part: Sequence[str]) -> list[str]:
        raise ValueError("each of them")

    with pytest.raises(ValueError, match="each of them"):
        parallel.shared(_ITEMS, work)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)  # nobody is left behind


@pytest.mark.parametrize("count", [0, 1, 99])
def test_few_things_are_not_shared(count: int) -> None:
    pids: list[int] = []

    def work(part: Sequence[str]) -> list[str]:
        pids.append(os.getpid())
        return list(part)

    assert parallel.shared(_ITEMS[:count], work) == _ITEMS[:count]
    assert len(pids) == 1
