# SPDX-License-Identifier: MIT
"""Limit the time of a C call that cannot be interrupted: another thread makes it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from torqueckpt.ifl.errors import CallTimedOut

T = TypeVar("T")


def within(
    seconds: float | None,
    call: str,
    work: Callable[[], T],
    late: Callable[[T], object] = lambda _result: None,
) -> T:
    """Do work(); gives its result, or CallTimedOut.  None means no limit and no thread.

    After the limit the work goes on until C returns, and holds what it holds: PBS calls of other
    threads wait for it.  `late` then gets its result, to give back what nobody will use.
    """
    if seconds is None:
        return work()
    done: list[T] = []
    failed: list[BaseException] = []
    guard = threading.Lock()
    given_up = False

    def run() -> None:
        try:
            result = work()
        except BaseException as failure:  # handed to the caller, whatever it is
            failed.append(failure)
            return
        with guard:
            if not given_up:
                done.append(result)
                return
        late(result)

    thread = threading.Thread(target=run, name=call, daemon=True)
    thread.start()
    thread.join(seconds)
    with guard:
        if done:
            return done[0]
        if failed:
            raise failed[0]
        given_up = True
    raise CallTimedOut(call=call, seconds=seconds)
