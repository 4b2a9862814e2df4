# SPDX-License-Identifier: MIT
"""The periodic service prunes once in a while, and one that fails is no reason to stop."""

from __future__ import annotations

import pytest

from torqueckpt.actions import periodic, prune
from torqueckpt.actions.periodic import Periodic
from torqueckpt.errors import StoreMissing
from torqueckpt.settings import Settings


class _Left(Exception):
    """How a test leaves a service that runs for ever."""


@pytest.mark.parametrize(("minutes", "expected"), [(0, 0), (1, 2), (60, 1)])
def test_it_prunes_at_its_interval_though_it_looks_more_often(
    root: None, monkeypatch: pytest.MonkeyPatch, minutes: int, expected: int
) -> None:
    now, rounds, pruned = [0.0], [0], []

    class Server:
        def __enter__(self) -> Server:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def jobs(self, *_: object) -> list[object]:
            return []

    def sleep(seconds: float) -> None:
        now[0] += seconds
        rounds[0] += 1
        if rounds[0] == 9:
            raise _Left

    def failing(*given: object) -> None:
        pruned.append(given[0])
        raise StoreMissing(path="/x", remedy="none")

    monkeypatch.setattr(periodic, "connect", lambda *_: Server())
    monkeypatch.setattr(periodic.time, "sleep", sleep)
    monkeypatch.setattr(periodic.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(prune, "prune", failing)
    service = Periodic(Settings(prune_interval_minutes=minutes, periodic_poll_seconds=10))
    with pytest.raises(_Left):
        service.serve(None)
    assert pruned == [None] * expected
