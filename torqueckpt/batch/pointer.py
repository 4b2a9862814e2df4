# SPDX-License-Identifier: MIT
"""Write and read pointers, small files that lie where a batch system expects an image.

Batch systems delete, move and copy that place, so no image ever lies there.  A pointer is a hint
about which generation was meant, never a permission: the user can write it.
"""

from __future__ import annotations

import os
from pathlib import Path

from torqueckpt import log, typed_json
from torqueckpt.errors import StoreNotWritable
from torqueckpt.identity import ImageRef
from torqueckpt.safe_files import Directory

LARGEST = 4096  # bytes


def make_place(directory: Path) -> None:
    """Make CKPTDIR and all above it, as the owner; StoreNotWritable when he may not.

    MOM makes the last part only: under a directory of qsub's -c dir= that is not there, nothing.
    """
    try:
        os.makedirs(directory, mode=0o755, exist_ok=True)
    except OSError as problem:
        raise StoreNotWritable(
            path=directory, problem=f"no pointer: {problem.strerror}"
        ) from problem


def write(directory: Path, name: str, lineage: str, generation: int) -> None:
    """Write a pointer as the owner; StoreNotWritable when CKPTDIR refuses it."""
    try:
        with _opened(directory) as opened:
            put(opened, name, ImageRef(lineage, generation))
    except OSError as problem:
        where = directory / name
        raise StoreNotWritable(path=where, problem=f"no pointer: {problem.strerror}") from problem


def put(directory: Directory, name: str, pointer: ImageRef) -> None:
    directory.write_whole(name, typed_json.dump(pointer), limit=LARGEST)


def read(directory: Path, name: str) -> ImageRef | None:
    """Read a pointer.

    None when it is missing or not one of ours: the newest image is taken then.
    """
    try:
        with _opened(directory) as opened:
            return typed_json.from_json(ImageRef, typed_json.load(opened.read(name, LARGEST)))
    except (OSError, typed_json.Malformed) as problem:
        log.warning(f"pointer {directory / name}: {problem}: taking the newest image")
        return None


def remove(directory: Path, name: str) -> None:
    """Remove a pointer; fine when there is none."""
    try:
        with _opened(directory) as opened:
            opened.remove(name)
    except OSError as problem:
        log.warning(f"pointer {directory / name}: not removed: {problem.strerror}")


def _opened(directory: Path) -> Directory:
    """Open CKPTDIR, which must be no link itself.

    Above it links are usual (MOM's home, scratch).
    """
    return Directory.open(directory.parent.resolve(strict=True) / directory.name)
