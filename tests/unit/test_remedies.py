# SPDX-License-Identifier: MIT
"""Each remedy that a finding on a job names was tried: tests/remedies.py says by which test."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.job.kinds import KINDS
from tests.job.kinds.kind import RESTORED
from tests.remedies import TRIED, UNTRIED
from torqueckpt import layout

_PACKAGE = Path(layout.__file__).parent
_FINDERS = (
    *_PACKAGE.glob("checkpointers/criu/*.py"),
    _PACKAGE / "checkpoint" / "preflight.py",
    _PACKAGE / "checkpoint" / "left_out.py",
)
_TABLES = ("_REMEDIES", "_DAEMONS")  # their remedies are looked up


def _named(tree: ast.Module) -> Iterator[str]:
    """The remedies of a module's findings; of what is filled in, a star."""
    given: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                pairs = [(target, node.value)]
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    pairs = list(zip(target.elts, node.value.elts))
                for name, value in pairs:
                    if isinstance(name, ast.Name):
                        given.setdefault(name.id, []).append(value)
    for table in _TABLES:
        for value in given.get(table, []):
            yield from _in_table(value, given)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "finding":
            yield from _texts(node.args[-1], given)


def _in_table(value: ast.expr, given: dict[str, list[ast.expr]]) -> Iterator[str]:
    if isinstance(value, ast.Dict):
        for each in value.values:
            yield from _texts(each, given)
    elif isinstance(value, ast.Tuple):
        for row in value.elts:
            assert isinstance(row, ast.Tuple)
            yield from _texts(row.elts[-1], given)


def _texts(value: ast.expr, given: dict[str, list[ast.expr]]) -> Iterator[str]:
    if isinstance(value, ast.Constant):
        yield str(value.value)
    elif isinstance(value, ast.JoinedStr):
        yield "".join(
            str(each.value) if isinstance(each, ast.Constant) else "*" for each in value.values
        )
    elif isinstance(value, ast.IfExp):
        yield from _texts(value.body, given)
        yield from _texts(value.orelse, given)
    elif isinstance(value, ast.Name):
        for each in given.get(value.id, []):
            yield from _texts(each, given)
    elif isinstance(value, ast.Call):  # of a table; what it has for the rest
        yield from _texts(value.args[-1], given)


def test_each_remedy_has_a_test_that_tries_it_or_a_reason_why_none_does() -> None:
    named = {text for file in _FINDERS for text in _named(ast.parse(file.read_text()))}
    assert named == {*TRIED, *UNTRIED}
    assert not set(TRIED) & set(UNTRIED)


@pytest.mark.parametrize("test", sorted({each for tests in TRIED.values() for each in tests}))
def test_that_test_is_there(test: str) -> None:
    if "::" not in test:
        assert test in {kind.name for kind in KINDS if kind.result == RESTORED}
        return
    module, _, name = test.partition("::")
    assert callable(getattr(importlib.import_module(module.replace("/", ".")), name))
