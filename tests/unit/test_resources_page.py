# SPDX-License-Identifier: MIT
"""docs/resources.md says of each kind of resource what the tests with real dumps found."""

from __future__ import annotations

import re
from pathlib import Path

from tests.job.kinds import KINDS
from tests.job.kinds.kind import RESTORED

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "resources.md"
_ROW = re.compile(r"^\| (.+?) \| (restored|refused|warned|lost) \| (.*)\|$", re.MULTILINE)


def test_the_page_has_the_kinds_that_are_tested_with_their_results_in_this_order() -> None:
    rows = [(name, result) for name, result, _ in _ROW.findall(_PAGE.read_text())]
    assert rows == [(kind.name, kind.result) for kind in KINDS]


def test_no_two_kinds_have_one_name() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS) >= 40


def test_what_is_not_restored_has_a_remedy() -> None:
    remedies = {name: remedy.strip() for name, _, remedy in _ROW.findall(_PAGE.read_text())}
    assert all(remedies[kind.name] for kind in KINDS if kind.result != RESTORED)
