# SPDX-License-Identifier: MIT
"""Let another process look at a job's tree while the checkpointer holds it still."""

from __future__ import annotations

import os
import select
from collections.abc import Callable

_LOOK_SECONDS = 0.001
FROZEN, GO = "TORQUECKPT_FROZEN", "TORQUECKPT_GO"


class Freeze:
    """Two pipes between a program that the checkpointer calls at the freeze, and a looking process.

    The first (at-freeze) writes that the tree stands still, and waits for an end of file.  Should
    the process that looks die, that is an end of file too, and the tree runs on.
    """

    def __init__(self) -> None:
        self._frozen, self._says_frozen = os.pipe()
        self._waits, self._go = os.pipe()

    @property
    def hook_fds(self) -> tuple[int, int]:
        """The descriptors that the checkpointer must inherit."""
        return self._says_frozen, self._waits

    @property
    def environment(self) -> dict[str, str]:
        return {FROZEN: str(self._says_frozen), GO: str(self._waits)}

    def arrives(self, stands_still: Callable[[], bool] | None) -> bool:
        """In the process that looks: wait for the freeze; False when the dump ended without one.

        With stands_still(), of a checkpointer that calls no program, the freeze is when that is
        True.
        """
        os.close(self._says_frozen)
        os.close(self._waits)
        while stands_still and not select.select([self._frozen], [], [], _LOOK_SECONDS)[0]:
            if stands_still():
                return True
        return os.read(self._frozen, 1) != b""

    def over(self) -> None:
        """In the process that looks: let the tree run again."""
        os.close(self._go)

    def wait_for_look(self, seconds: float) -> None:
        """In the caller of a dump that calls no program: say that the tree is frozen, and wait."""
        os.write(self._says_frozen, b"\n")
        select.select([self._waits], [], [], seconds)

    def looked(self) -> bool:
        """In the dump's caller: whether the process that looks has let the tree run again."""
        return bool(select.select([self._waits], [], [], 0)[0])

    def leave_to_looker(self) -> None:
        """In the dump's caller, after the fork: leave it to the process that looks to say go."""
        os.close(self._go)
        os.close(self._frozen)

    def close_hook(self) -> None:
        """In the dump's caller, when it has ended: the process that looks waits no longer."""
        os.close(self._says_frozen)
        os.close(self._waits)
