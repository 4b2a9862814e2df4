# SPDX-License-Identifier: MIT
"""Names on disk are spelled in layout.py alone: a second spelling is a name that can differ."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from torqueckpt import layout

_PACKAGE = Path(layout.__file__).parent
_NAMES = {
    value for name, value in vars(layout).items() if name.isupper() and isinstance(value, str)
}

# Words that also mean something else: names on disk only where a file or directory is asked for.
_WORDS = {name for name in _NAMES if "." not in name and not name.endswith("-")} - {"tails"}
_ASKS_FOR = (
    *("sub", "make", "read", "write_whole", "write_once", "append_line", "open_file", "has"),
    *("remove", "remove_tree", "record"),
)
_MOMS_OWN = {"jobs"}  # mom_priv/jobs, in batch/


def _spelled(text: str) -> Iterator[str]:
    """line: name, for each name on disk that stands as a literal in a module's text."""
    tree = ast.parse(text)
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    for node in ast.walk(tree):
        asked: list[ast.expr] = []
        if isinstance(node, ast.Constant) and id(node) not in said and isinstance(node.value, str):
            if any(part in _NAMES - _WORDS for part in node.value.split("/")):
                yield f"{node.lineno}: {node.value}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            asked = node.args[:1] if node.func.attr in _ASKS_FOR else []
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            asked = [node.right]
        for each in asked:
            if isinstance(each, ast.Constant) and str(each.value) in _WORDS:
                yield f"{each.lineno}: {each.value!s}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('path / "manifest.json"', ["1: manifest.json"]),
        ('name = f"{lineage}/tails/{name}"', ["1: /tails/"]),
        ('with lineage.make("kept") as kept:\n    pass', ["1: kept"]),
        ('place = store / "jobs" / user', ["1: jobs"]),
        ('"""Reads manifest.json."""\nwhat = "image"', []),
        ("lineage.make(layout.KEPT)", []),
    ],
)
def test_a_literal_is_found_where_it_names_a_file(text: str, told: list[str]) -> None:
    assert list(_spelled(text)) == told


def test_no_module_but_one_spells_a_name_on_disk() -> None:
    found = [
        f"{path.relative_to(_PACKAGE)}:{each}"
        for path in sorted(_PACKAGE.rglob("*.py"))
        if path.name != "layout.py"
        for each in _spelled(path.read_text())
        if not (path.is_relative_to(_PACKAGE / "batch") and each.split()[-1] in _MOMS_OWN)
    ]
    assert found == []


def test_no_name_on_disk_means_two_things_in_one_directory() -> None:
    assert len(_NAMES) == sum(
        isinstance(each, str) for name, each in vars(layout).items() if name.isupper()
    )
