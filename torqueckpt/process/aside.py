# SPDX-License-Identifier: MIT
"""Work done aside, in a forked process that has become the owner for good.

Root's programs parse files that a user can write only there: a parser that is tricked has no more
rights than the user.  It also lets the parent go on meanwhile.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from typing import Generic, TypeVar

from torqueckpt import manifest
from torqueckpt.identity import Owner
from torqueckpt.process import become

T = TypeVar("T")


class AsideFailed(Exception):
    """The forked process failed; the text is its error."""


class Aside(Generic[T]):
    """Start `work` as the owner; result() waits for the dataclass that it returns."""

    def __init__(self, who: Owner, work: Callable[[], T]) -> None:
        self._read_end, write_end = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._read_end)
            _report(who, work, write_end)
        os.close(write_end)

    def result(self, kind: type[T]) -> T:
        with os.fdopen(self._read_end, "rb") as pipe:
            text = pipe.read()
        os.waitpid(self._pid, 0)
        if not text.startswith(b"{"):
            raise AsideFailed(text.decode("utf-8", "replace") or "it was killed")
        return manifest.from_json(kind, manifest.load(text))


def _report(who: Owner, work: Callable[[], object], write_end: int) -> None:
    try:
        become.drop(who)
        made = work()
        assert is_dataclass(made) and not isinstance(made, type)
        text = json.dumps(asdict(made))
    except Exception as failure:
        text = f"{type(failure).__name__}: {failure}"
    try:
        with os.fdopen(write_end, "w", encoding="utf-8", errors="backslashreplace") as pipe:
            pipe.write(text)
    finally:
        os._exit(0)
