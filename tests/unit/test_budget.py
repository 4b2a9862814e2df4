# SPDX-License-Identifier: MIT
"""What an owner may cost: his part ends when that is spent, or when anything is raised in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from torqueckpt import budget
from torqueckpt.budget import Budget, Limits, OverBudget
from torqueckpt.errors import StoreMissing
from torqueckpt.safe_files import Directory


@pytest.fixture
def told() -> list[str]:
    return []


def test_a_part_ends_with_what_is_read_beyond_the_budget(
    directory: Directory, told: list[str]
) -> None:
    (directory.path / "file").write_bytes(bytes(1 << 20))
    reads = 0
    with Budget("ann", Limits(100, 3 << 20, 60)).part(told.append):
        while True:
            directory.read("file")
            reads += 1
    assert reads == 3
    assert told == ["ann: left out: more than 3 MiB to read"]
    directory.read("file")  # outside, nobody counts


def test_a_part_ends_with_the_files_that_are_looked_at_beyond_the_budget(
    directory: Directory, told: list[str]
) -> None:
    for number in range(20):
        (directory.path / str(number)).touch()
    with Budget("ann", Limits(30, 0, 60)).part(told.append):
        directory.names()
        directory.names()
    assert told == ["ann: left out: more than 30 files to look at"]


def test_a_part_ends_when_its_time_is_up_and_time_outside_does_not_count(
    monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(budget.time, "monotonic", lambda: now[0])
    mine = Budget("ann", Limits(100, 0, 5))
    for _ in range(2):
        with mine.part(told.append):
            now[0] += 2
            budget.spend()
        now[0] += 100
    assert told == [] and not mine.is_spent
    with mine.part(told.append):
        now[0] += 2
        budget.spend()
    assert told == ["ann: left out: it takes longer than 5 s"] and mine.is_spent


def _recursion() -> None:
    _recursion()


@pytest.mark.parametrize(
    ("failure", "line"),
    [
        (OverflowError("int too large"), "OverflowError: int too large"),
        (MemoryError(), "MemoryError: "),
        (PermissionError(13, "Permission denied"), "[Errno 13] Permission denied"),
        (StoreMissing(path="/x", remedy="y"), "store /x is missing: y"),
        (ValueError("x" * 10_000), "ValueError: " + "x" * 300),
    ],
)
def test_whatever_is_raised_is_told_with_the_owners_name_and_goes_no_further(
    failure: Exception, line: str, told: list[str]
) -> None:
    with Budget("ann", budget.ROUND).part(told.append):
        raise failure
    with budget.apart("12.srv", told.append):
        raise failure
    assert told == [f"ann: left out: {line}", f"12.srv: {line}"]


def test_recursion_is_told_too(told: list[str]) -> None:
    with Budget("ann", budget.ROUND).part(told.append):
        _recursion()
    assert told[0].startswith("ann: left out: RecursionError: ")


def test_no_job_of_an_owners_hides_that_his_budget_is_spent(told: list[str]) -> None:
    jobs = []
    with Budget("ann", Limits(2, 0, 60)).part(told.append):
        for job in range(10):
            with budget.apart(f"{job}.srv", told.append):
                budget.spend()
                jobs.append(job)
    assert jobs == [0, 1]
    assert told == ["ann: left out: more than 2 files to look at"]
    assert not issubclass(OverBudget, (OSError, ValueError))


def test_an_endless_file_is_read_for_a_while(directory: Directory, told: list[str]) -> None:
    from torqueckpt.store import seal

    path: Path = directory.path / "pages"
    with open(path, "wb") as file:
        file.truncate(1 << 42)
    fd = os.open(path, os.O_RDONLY)
    with Budget("ann", Limits(100, 0, 0.2)).part(told.append):
        seal.digest(fd)
    os.close(fd)
    assert told == ["ann: left out: it takes longer than 0.2 s"]
