# SPDX-License-Identifier: MIT
"""Find the files that a rule's glob matches, without following links or walking huge trees."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from torqueckpt import file_rules
from torqueckpt.manifest import Rule

MOST = 1000  # files of one rule
DEEPEST = 1_000
_MOST_ENTRIES = 20_000  # names looked at for one rule


class Matches:
    """Iterates over the regular files that this rule applies to, and no rule before it.

    complete is False once there turned out to be too many; closed are directories that could not be
    looked into.
    """

    def __init__(self, rule: Rule, rules: Iterable[Rule]) -> None:
        self.complete = True
        self.closed: list[str] = []
        self._rule = rule
        self._before = list(rules)
        self._before = self._before[: self._before.index(rule) + 1]

    def __iter__(self) -> Iterator[str]:
        count = 0
        found = entries(file_rules.base(self._rule.glob), self._deep(), self.closed)
        for seen, entry in enumerate(found):
            if seen >= _MOST_ENTRIES or count >= MOST:
                self.complete = False
                return
            if self._mine(entry.path) and entry.is_file(follow_symlinks=False):
                count += 1
                yield entry.path

    def _deep(self) -> int:
        """How many directories deep the glob can reach."""
        below = file_rules.below_base(self._rule.glob)
        return DEEPEST if "**" in below else below.count("/")

    def _mine(self, path: str) -> bool:
        *others, mine = self._before
        return file_rules.of_path([mine], path) != "" and file_rules.of_path(others, path) == ""


def entries(directory: str, deep: int, closed: list[str]) -> Iterator[os.DirEntry[str]]:
    """All entries below a directory.

    Directories that the owner may not read are added to `closed`.
    """
    try:
        with os.scandir(directory) as inside:
            found = list(inside)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as problem:
        closed.append(f"{directory}: {problem.strerror}")
        return
    for entry in found:
        yield entry
        if deep > 0 and entry.is_dir(follow_symlinks=False):
            yield from entries(entry.path, deep - 1, closed)
