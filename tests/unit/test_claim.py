# SPDX-License-Identifier: MIT
"""The claim file: one of many takes it, whoever gives up takes away his own only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from torqueckpt.errors import RecordTorn
from torqueckpt.records import Claim
from torqueckpt.safe_files import Directory
from torqueckpt.store import claim

_MINE = Claim("node1", "b" * 36, 42, "12.srv", 1700000000)
_OTHERS = _MINE._replace(host="node2", boot_id="c" * 36)


@pytest.fixture
def lineage(tmp_path: Path) -> Directory:
    return Directory.open(tmp_path.resolve())


def test_of_many_that_come_at_once_one_has_it(lineage: Directory) -> None:
    begin_read, begin_write = os.pipe()
    children = []
    for number in range(20):
        pid = os.fork()
        if pid == 0:
            os.close(begin_write)
            os.read(begin_read, 1)
            os._exit(0 if claim.take(lineage, _MINE._replace(pid=number)) else 1)
        children.append((number, pid))
    os.close(begin_write)
    won = [n for n, pid in children if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0]
    os.close(begin_read)
    held = claim.read(lineage)
    assert held is not None and won == [held.pid]
    assert lineage.names() == ["claim.json"]


def test_nobody_takes_away_anothers(lineage: Directory) -> None:
    assert claim.take(lineage, _OTHERS)
    claim.remove(lineage, _MINE)
    assert claim.read(lineage) == _OTHERS
    claim.remove(lineage, _OTHERS)
    assert claim.read(lineage) is None
    claim.remove(lineage, _OTHERS)
    assert lineage.names() == []


def test_what_a_killed_one_has_left_goes_and_another_nodes_stays(lineage: Directory) -> None:
    for each in (_MINE, _OTHERS):
        for end in ("", ".new"):
            lineage.write_whole(f"claim.{each.boot_id}.{each.pid}{end}", b"{")
    assert claim.take(lineage, _MINE._replace(pid=43))
    claim.sweep(lineage, _MINE.boot_id)
    left = f"claim.{_OTHERS.boot_id}.{_OTHERS.pid}"
    assert sorted(lineage.names()) == [left, f"{left}.new", "claim.json"]


def test_a_torn_one_is_named(lineage: Directory) -> None:
    lineage.write_whole("claim.json", b"{")
    with pytest.raises(RecordTorn, match="claim"):
        claim.read(lineage)


@pytest.mark.parametrize("since", [-1, 0, 1 << 40, 1 << 100])
def test_any_time_that_an_owner_writes_can_be_told(since: int) -> None:
    assert claim.clock(since)
