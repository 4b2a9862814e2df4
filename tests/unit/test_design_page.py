# SPDX-License-Identifier: MIT
"""docs/design.md says where things live: each path and each function that it names is there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

_TOP = Path(__file__).resolve().parents[2]
_PAGE = (_TOP / "docs" / "design.md").read_text()
# `images/retention.py:plan` in a sentence, or at the head of a line of a drawing
_NAMED = re.compile(r"(?<![\w/.])((?:[\w.-]+/)*[\w-]+\.py)(?::([A-Za-z_][\w.]*))?")
_PLACES = re.compile(r"`((?:templates|install|conf|cli|docs)/[\w./-]*)`")


def _definitions(body: list[ast.stmt], before: str = "") -> Iterator[str]:
    for each in body:
        if isinstance(each, (ast.FunctionDef, ast.ClassDef)):
            yield before + each.name
            if isinstance(each, ast.ClassDef):
                yield from _definitions(each.body, f"{before}{each.name}.")
        elif isinstance(each, ast.Assign):
            yield from (before + to.id for to in each.targets if isinstance(to, ast.Name))
        elif isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            yield before + each.target.id


def _file(path: str) -> Path:
    inside = _TOP / "torqueckpt" / path
    return inside if inside.exists() else _TOP / path


@pytest.mark.parametrize(("path", "name"), sorted(set(_NAMED.findall(_PAGE))))
def test_what_the_page_names_is_there(path: str, name: str) -> None:
    file = _file(path)
    assert file.is_file(), f"docs/design.md names {path}"
    assert not name or name in set(_definitions(ast.parse(file.read_bytes()).body))


@pytest.mark.parametrize("place", sorted(set(_PLACES.findall(_PAGE))))
def test_a_directory_or_another_file_that_the_page_names_is_there(place: str) -> None:
    assert _file(place).exists()


def test_the_page_has_a_row_for_each_room() -> None:
    rooms = {each.parent.name for each in (_TOP / "torqueckpt").glob("*/__init__.py")}
    table = _PAGE.partition("## Floors")[2].partition("## Where things live")[0]
    assert rooms - set(re.findall(r"`(\w+)`", table)) == set()


def test_there_are_rows_enough_to_find_ones_way() -> None:
    table = _PAGE.partition("## Where things live")[2].partition("## By function name")[0]
    assert sum(line.startswith("| ") for line in table.splitlines()) > 16
    assert len(_NAMED.findall(table)) > 40
