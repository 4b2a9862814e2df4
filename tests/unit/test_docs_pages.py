# SPDX-License-Identifier: MIT
"""What pages name is there: other pages, tests, templates; and what they show of files is right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.pages import PAGES, TOP
from torqueckpt import settings

_ALL = [*PAGES, TOP / "CHANGES.md", *sorted((TOP / "docs" / "man").glob("*.md"))]
_NAMED = re.compile(
    r"(?<![\w/.-])((?:docs|tests|templates|conf|install|torqueckpt)/[a-z][\w/.-]*\w)(?![<…*])"
)


@pytest.mark.parametrize("page", _ALL, ids=lambda page: page.name)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    for name in set(_NAMED.findall(page.read_text("utf-8"))):
        assert (TOP / name).exists(), f"{page.name}: {name}"


def test_every_page_is_named_by_another() -> None:
    for page in PAGES:
        name = f"docs/{page.name}"
        others = [each for each in _ALL if each != page]
        if page.parent.name == "docs":
            assert any(name in each.read_text("utf-8") for each in others), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_and_programs_that_a_page_shows_are_whole(page: Path) -> None:
    text = page.read_text("utf-8")
    for block in re.findall(r"^```toml\n(.*?)^```$", text, re.M | re.S):
        settings.parse(block, page.name)
    for block in re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S):
        compile(block, page.name, "exec")
