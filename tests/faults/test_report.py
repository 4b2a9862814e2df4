# SPDX-License-Identifier: MIT
"""The page of figures holds what the tests have counted, each once, the last run's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.inputs import HOSTILE
from tests.faults.report import END, FAULTS, INPUTS, Row, Table, replaced, write
from tests.support import REPOSITORY

PAGE = f"# Head\n\n{FAULTS.begin}\n{END}\n\nmore | text |\n"


def row(what: str, times: int = 3) -> Row:
    return Row(what, times, "1.5 s", "make test-faults")


def test_a_row_takes_the_place_of_an_older_one_and_leaves_the_others() -> None:
    page = replaced(replaced(PAGE, [row("b"), row("a")]), [row("b", 7)])
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[:2] for line in lines[1:]] == [["| a", "3"], ["| b", "7"]]
    assert page.startswith(f"# Head\n\n{FAULTS.begin}\n") and page.endswith(
        f"{END}\n\nmore | text |\n"
    )


def test_each_file_of_tests_whose_inputs_are_counted_is_there() -> None:
    """Its names are `make test-faults`' own: one that was moved would end that."""
    named = [f"tests/{place}/{name}.py" for place, names in HOSTILE.items() for name in names]
    assert [each for each in named if not (REPOSITORY / each).is_file()] == []


def test_nothing_is_written_where_nobody_asked_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    monkeypatch.delenv("TORQUECKPT_REPORT", raising=False)
    write([row("a")])
    assert page.read_text() == PAGE
    monkeypatch.setenv("TORQUECKPT_REPORT", str(page))
    write([row("a")])
    assert "| a | 3 | 0 | 0 | 0 | 1.5 s | `make test-faults` |" in page.read_text()


@pytest.mark.parametrize("table", [FAULTS, INPUTS])
def test_the_page_of_figures_has_its_place_for_the_table(table: Table) -> None:
    page = (REPOSITORY / "docs" / "reliability.md").read_text()
    assert page.count(table.begin) == 1
    assert replaced(page, [], table) == page
