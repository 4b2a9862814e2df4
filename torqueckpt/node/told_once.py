# SPDX-License-Identifier: MIT
"""Log what the periodic service finds once, as long as it is so, not at each round."""

from __future__ import annotations

from collections.abc import Collection

from torqueckpt import log


class ToldOnce:
    """What was logged of jobs, of owners, and of what the service itself does."""

    def __init__(self) -> None:
        self._lines: dict[str, str] = {}
        self._problems: dict[str, tuple[str, ...]] = {}  # by user, those of the last round

    def tell(self, about: str, line: str) -> None:
        """Log a line unless it is the last that was told of this."""
        if self._lines.get(about) != line:
            self._lines[about] = line
            log.info(f"{about}: {line}")

    def tell_problems(self, about: str, lines: tuple[str, ...]) -> None:
        """Log what goes wrong at an owner's, each line once as long as it does."""
        for line in lines:
            if line not in self._problems.get(about, ()):
                log.warning(line)
        self._problems[about] = lines

    def forget_all_but(self, lines: Collection[str], problems: Collection[str]) -> None:
        """Forget what was told of others than these."""
        self._lines = {about: line for about, line in self._lines.items() if about in lines}
        self._problems = {name: each for name, each in self._problems.items() if name in problems}
