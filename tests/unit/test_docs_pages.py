# SPDX-License-Identifier: MIT
"""What pages name is there: other pages, tests, templates; and what they show of files is right."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pages import PAGES, TOP
from tests.unit.test_man_pages import pages
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


_MAN_PAGES: dict[str, str] = pages.pages()
_DOC = re.compile(r"\bdocs/([a-z-]+\.md)")
_MAN = re.compile(r"\b(torqueckpt[a-z.-]*|mom-[a-z]+)\(([1-8])\)")


def _texts() -> Iterator[tuple[str, str]]:
    """What users get to read outside of docs/: messages, templates, settings, man pages."""
    for path in sorted((TOP / "torqueckpt").rglob("*.py")):
        tree = list(ast.walk(ast.parse(path.read_text("utf-8"))))
        docstrings = {id(each.value) for each in tree if isinstance(each, ast.Expr)}
        told = [
            each for each in tree if isinstance(each, ast.Constant) and id(each) not in docstrings
        ]
        for each in told:
            if isinstance(each.value, str):
                yield str(path.relative_to(TOP)), each.value
    for name, command in pages.commands(pages.whole()):
        yield name, command.help or ""
    for path in sorted([*(TOP / "templates").rglob("*"), *(TOP / "conf").iterdir()]):
        if path.is_file():
            yield str(path.relative_to(TOP)), path.read_text("utf-8")
    yield "install/install", (TOP / "install" / "install").read_text("utf-8")
    for name, text in _MAN_PAGES.items():
        yield name, re.sub(r"\\f[BIR]", "", text).replace("\\-", "-")


def test_what_messages_templates_settings_and_man_pages_name_is_installed() -> None:
    installed = {page.name for page in (TOP / "docs").glob("*.md")}  # install/install puts these
    named = [(where, name) for where, text in _texts() for name in _DOC.findall(text)]
    assert {"store.md", "performance.md", "chains.md"} <= {name for _, name in named}
    assert not [(where, name) for where, name in named if name not in installed]


def test_man_pages_that_are_named_are_there() -> None:
    named = {
        (where, f"{name}.{section}")
        for where, text in _texts()
        for name, section in _MAN.findall(text)
    }
    assert {f"torqueckpt-{name}.7" for name in pages.OF_DOCS} <= {name for _, name in named}
    assert not [(where, name) for where, name in named if name not in _MAN_PAGES]


def test_a_page_that_is_a_man_page_is_named_as_that() -> None:
    of_docs = {f"{name}.md" for name in pages.OF_DOCS}
    assert not [(where, text) for where, text in _texts() if of_docs & set(_DOC.findall(text))]
