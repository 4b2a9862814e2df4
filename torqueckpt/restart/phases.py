# SPDX-License-Identifier: MIT
"""The parts of a restart that can take long, for people who wait; daemons' programs tell nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from torqueckpt.manifest import Manifest
from torqueckpt.store.lineage import Lineage

# Told what begins and how many bytes it will take, it gives what is to be told each count of them.
Phase = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
# Called with the lock's descriptor, just before this program becomes the door, which tells nobody.
Leaving = Callable[[Lineage, Manifest, int], None]


@contextmanager
def untold(what: str, total: int) -> Iterator[Callable[[int], None]]:
    yield lambda count: None


def alone(lineage: Lineage, made: Manifest, lock: int) -> None:
    """Nobody waits: nothing is left beside the restore."""
