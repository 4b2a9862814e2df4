# SPDX-License-Identifier: MIT
"""Check each file of an image as its restore does, for a restart and for the checkpoint before it.

Nothing is restored that is not so; nothing is published either.
"""

from __future__ import annotations

import os
import stat

from torqueckpt.checkpointers.base import Checkpointer
from torqueckpt.errors import ImageDamaged
from torqueckpt.manifest import PACKED, ImageFile, Manifest
from torqueckpt.safe_files import Directory


def checked(
    checkpointer: Checkpointer, image: Directory, file: ImageFile, manifest: Manifest
) -> bytes | None:
    """Check one file of an image; ImageDamaged when no restore would take it.

    Gives what the copy must hold of one that decides what rights a process gets.
    """
    name = file.name
    plain = name[: -len(PACKED)] if name.endswith(PACKED) else name
    if plain != name and not checkpointer.packs(plain):  # served as one that decides
        raise _damaged(manifest, f"{name} is no file that is compressed")
    if checkpointer.decides_rights(name):
        return _checked_rights(checkpointer, image, name, manifest)
    _refuse_other_kinds(image, file, manifest)
    return None


def _checked_rights(
    checkpointer: Checkpointer, image: Directory, name: str, manifest: Manifest
) -> bytes:
    try:
        return checkpointer.checked_rights(image.read(name), manifest.ceiling)
    except OSError as unreadable:
        raise _damaged(manifest, f"{name}: {unreadable.strerror}") from unreadable
    except ValueError as excessive:
        raise _damaged(manifest, f"{name} {excessive}") from excessive


def _refuse_other_kinds(image: Directory, file: ImageFile, manifest: Manifest) -> None:
    """Refuse what is no file of the recorded size: CRIU would wait for ever at a pipe, or loop."""
    try:
        status = os.stat(file.name, dir_fd=image.fd, follow_symlinks=False)
    except OSError as problem:
        raise _damaged(manifest, f"{file.name}: {problem.strerror}") from problem
    if not stat.S_ISREG(status.st_mode) or status.st_size != file.size:
        raise _damaged(manifest, f"{file.name} is no file of its size")


def _damaged(manifest: Manifest, problem: str) -> ImageDamaged:
    return ImageDamaged(job=manifest.job.id, generation=manifest.generation, problem=problem)
