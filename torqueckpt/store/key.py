# SPDX-License-Identifier: MIT
"""The key that signs manifests: 32 random bytes as hex, for root alone, the same on all nodes."""

from __future__ import annotations

import os
from pathlib import Path

from torqueckpt.errors import KeyMissing
from torqueckpt.process import privileges


def read(path: Path) -> bytes:
    """Read the key as root; KeyMissing when it is absent, malformed or readable by others."""
    with privileges.acting_as_root():
        try:
            with open(path, "rb") as file:
                status = os.fstat(file.fileno())
                text = file.read(200).strip()
        except OSError as problem:
            raise KeyMissing(path=path, problem=problem.strerror) from problem
    if status.st_uid != 0 or status.st_mode & 0o077:
        raise KeyMissing(path=path, problem="must belong to root with mode 0600")
    try:
        key = bytes.fromhex(text.decode())
    except ValueError as broken:
        raise KeyMissing(path=path, problem="not hexadecimal digits") from broken
    if len(key) < 32:
        raise KeyMissing(path=path, problem="shorter than 32 bytes")
    return key
