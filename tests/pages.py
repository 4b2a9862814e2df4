# SPDX-License-Identifier: MIT
"""What the pages of docs/ and README.md tell their readers to type."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
PAGES = [TOP / "README.md", TOP / "CONTRIBUTING.md", *sorted((TOP / "docs").glob("*.md"))]

_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.M | re.S)
_SHOWN = re.compile(r"^\$ (.+)$", re.M)  # in a block that shows what a command prints
_IN_TEXT = re.compile(r"`((?:sudo )?(?:torqueckpt|make) [^`]+)`")
_HERE = re.compile(r"<<'(\w+)'\n.*?^\1$", re.M | re.S)
_ENDS = {";", "&&", "||", "|", "&"}


@dataclass(frozen=True)
class Command:
    """argv of one simple command, without sudo, assignments and redirections."""

    words: tuple[str, ...]
    line: str
    whole: bool  # in a block, to be typed as it is; in the text a command may be a mere mention

    def __str__(self) -> str:
        return " ".join(self.words)


def fenced(text: str) -> list[str]:
    return _BLOCK.findall(text)


def section(page: Path, title: str) -> str:
    """The text below a heading, up to the next of its kind."""
    return page.read_text("utf-8").partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def commands(page: Path) -> Iterator[Command]:
    text = page.read_text("utf-8")
    for block in fenced(text):
        for line in _HERE.sub("", block).replace("\\\n", " ").splitlines():
            yield from simple(line, whole=True)
    for line in _SHOWN.findall(text):
        yield from simple(line, whole=True)
    for line in _IN_TEXT.findall(re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)):
        yield from simple(" ".join(line.split()), whole=False)


def simple(line: str, whole: bool) -> Iterator[Command]:
    """The commands of a line, however they are joined."""
    parser = shlex.shlex(re.sub(r"\b[012](?=[<>])", "", line), posix=True, punctuation_chars=True)
    parser.whitespace_split = True
    words: list[str] = []
    skip = False
    for word in [*parser, ";"]:
        if word in _ENDS:
            if words:
                yield Command(tuple(words), line, whole)
            words = []
        elif set(word) <= set("<>&"):
            skip = True
        elif skip:
            skip = False  # where a redirection goes
        elif words or not (word == "sudo" or re.fullmatch(r"[A-Za-z_]+=.*", word)):
            words.append(word)
