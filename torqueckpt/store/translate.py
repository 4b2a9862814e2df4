# SPDX-License-Identifier: MIT
"""Foreign errors of the store's files as this package's."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torqueckpt.errors import RecordTorn, StoreFull, StoreNotWritable
from torqueckpt.typed_json import Malformed

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """OSError on files of the store as StoreFull or StoreNotWritable."""
    try:
        yield
    except OSError as problem:
        if problem.errno in _NO_ROOM:
            raise StoreFull(path=path, problem=problem.strerror) from problem
        raise StoreNotWritable(path=path, problem=problem.strerror or str(problem)) from problem


@contextmanager
def record(path: Path) -> Iterator[None]:
    """A record that is torn or cannot be read as RecordTorn; a missing one stays missing."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (Malformed, OSError) as torn:
        raise RecordTorn(path=path, problem=torn) from torn
