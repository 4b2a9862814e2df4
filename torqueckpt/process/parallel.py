# SPDX-License-Identifier: MIT
"""Work on very many things shared among processes, one for each processor."""

from __future__ import annotations

import marshal
import os
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
_FEWEST = 50  # for less a fork is not worth it


def shared(items: Sequence[str], work: Callable[[Sequence[str]], list[T]]) -> list[T]:
    """work(items), whose result is made of numbers and strings, in as many parts as there are
    processors.

    What a part that was killed would have given is done here.
    """
    count = max(min(len(os.sched_getaffinity(0)), len(items) // _FEWEST), 1)
    size = max(-(-len(items) // count), 1)
    parts = [items[begin : begin + size] for begin in range(size, len(items), size)]
    aside = [(part, *_started(part, work)) for part in parts]
    done, failure = _tried(items[:size], work)
    for part, pid, read_end in aside:
        with os.fdopen(read_end, "rb") as pipe:
            text = pipe.read()
        _, status = os.waitpid(pid, 0)
        if failure is None and status != 0:
            more, failure = _tried(part, work)
            done += more
        elif failure is None:
            done += marshal.loads(text)
    if failure is not None:
        raise failure
    return done


def _tried(
    part: Sequence[str], work: Callable[[Sequence[str]], list[T]]
) -> tuple[list[T], Exception | None]:
    """The others are waited for before an error is told."""
    try:
        return work(part), None
    except Exception as failure:
        return [], failure


def _started(part: Sequence[str], work: Callable[[Sequence[str]], list[T]]) -> tuple[int, int]:
    """Of a forked process: its pid, and where its result is to be read."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write_end)
        return pid, read_end
    status = 1
    try:
        os.close(read_end)
        with os.fdopen(write_end, "wb") as pipe:
            marshal.dump(work(part), pipe)
        status = 0
    finally:
        os._exit(status)
