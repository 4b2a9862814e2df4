# SPDX-License-Identifier: MIT
"""The moment at which a checkpointer holds a tree still: somebody else may look at it then."""

from __future__ import annotations

import os
import select
from collections.abc import Callable

_LOOK_SECONDS = 0.001
FROZEN, GO = "TORQUECKPT_FROZEN", "TORQUECKPT_GO"


class Freeze:
    """Two pipes between the program that the checkpointer calls at that moment (at-freeze) and the
    one that looks: the first says that the tree stands still, and waits for an end of file.

    Should the one that looks die, that is an end of file too, and the tree runs on.
    """

    def __init__(self) -> None:
        self._frozen, self._says_frozen = os.pipe()
        self._waits, self._go = os.pipe()

    @property
    def hook_fds(self) -> tuple[int, int]:
        """What the checkpointer must inherit."""
        return self._says_frozen, self._waits

    @property
    def environment(self) -> dict[str, str]:
        return {FROZEN: str(self._says_frozen), GO: str(self._waits)}

    def arrives(self, stands_still: Callable[[], bool] | None) -> bool:
        """In the forked process that looks: wait; False when the checkpointer ended without it.

        It also comes when stands_still() says so, of a checkpointer that calls nobody.
        """
        os.close(self._says_frozen)
        os.close(self._waits)
        while stands_still and not select.select([self._frozen], [], [], _LOOK_SECONDS)[0]:
            if stands_still():
                return True
        return os.read(self._frozen, 1) != b""

    def over(self) -> None:
        """In the process that looks: the tree may run again."""
        os.close(self._go)

    def wait_for_look(self, seconds: float) -> None:
        """In the maker, for a checkpointer that calls no such program: say that the tree stands
        still, and wait until it may run again."""
        os.write(self._says_frozen, b"\n")
        select.select([self._waits], [], [], seconds)

    def looked(self) -> bool:
        """In the maker: whether the tree may run again, as far as the looker is concerned."""
        return bool(select.select([self._waits], [], [], 0)[0])

    def leave_to_looker(self) -> None:
        """In the maker, once the looker is forked: only that one says go."""
        os.close(self._go)
        os.close(self._frozen)

    def close_hook(self) -> None:
        """In the maker, once the checkpointer has ended: the looker need not wait any longer."""
        os.close(self._says_frozen)
        os.close(self._waits)
