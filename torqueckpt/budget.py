# SPDX-License-Identifier: MIT
"""Budgets: how much root's programs look at for one owner before the next one's turn.

What lies in an owner's directories he has made, as many and as large as he likes.  So a loop over
owners gives each a Budget, which safe_files charges for all that is read, and whatever an owner's
part of the loop raises ends that part alone; it is told, with his name.  docs/reliability.md says
what happens to whom.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

_MIB = 1024 * 1024
_WORDS = 300  # characters of a failure: its owner may have written them


class Limits(NamedTuple):
    """What one owner may cost: directory entries and files, bytes of files, seconds."""

    entries: int
    size: int
    seconds: float


ROUND = Limits(100_000, 128 * _MIB, 5)  # of the periodic service, which comes again in a moment
FIGURES = Limits(500_000, 256 * _MIB, 20)  # list, report, metrics
PRUNE = Limits(2_000_000, 512 * _MIB, 60)
VERIFY = Limits(2_000_000, 512 * _MIB, 600)  # before older images go, the newest is read


class OverBudget(Exception):
    """An owner's part costs too much; no handler on the way knows it, it ends the part."""


class Budget:
    """What one owner may still cost; time counts only while his part of a loop runs."""

    def __init__(self, owner: str, limits: Limits) -> None:
        self.owner = owner
        self._limits = limits
        self._entries, self._size, self._seconds = limits
        self._until = 0.0
        self.is_spent = False

    @contextmanager
    def part(self, tell: Callable[[str], None]) -> Iterator[None]:
        """Inside, all that is read is charged, and whatever is raised ends no more than this.

        tell gets one line then.
        """
        self._until = time.monotonic() + self._seconds
        _charged.append(self)
        try:
            yield
        except Exception as failure:
            self.is_spent = isinstance(failure, OverBudget)
            tell(f"{self.owner}: left out: {words(failure)}")
        finally:
            _charged.remove(self)
            self._seconds = self._until - time.monotonic()

    def spend(self, entries: int, size: int) -> None:
        self._entries -= entries
        self._size -= size
        if self._entries < 0:
            raise OverBudget(f"more than {self._limits.entries} files to look at")
        if self._size < 0:
            raise OverBudget(f"more than {self._limits.size // _MIB} MiB to read")
        if time.monotonic() > self._until:
            raise OverBudget(f"it takes longer than {self._limits.seconds:g} s")


_charged: list[Budget] = []


def spend(entries: int = 1, size: int = 0) -> None:
    """Charge whoever's part this is; OverBudget when it was the last that he may cost."""
    for each in _charged:
        each.spend(entries, size)


@contextmanager
def apart(about: str, tell: Callable[[str], None]) -> Iterator[None]:
    """Inside an owner's part, whatever one of his jobs or images raises ends no more than this."""
    try:
        yield
    except OverBudget:
        raise
    except Exception as failure:
        tell(f"{about}: {words(failure)}")


def words(failure: BaseException) -> str:
    """What a failure says; its kind too where it is none of those that are told to people."""
    text = str(failure)[:_WORDS]
    known = isinstance(failure, (OSError, OverBudget)) or hasattr(failure, "exit_code")
    return text if text and known else f"{type(failure).__name__}: {text}"
