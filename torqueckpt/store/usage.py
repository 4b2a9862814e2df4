# SPDX-License-Identifier: MIT
"""How much of the disk the store takes, and how much is left."""

from __future__ import annotations

import os
import stat

from torqueckpt.paths import Directory

_DEEPEST = 4  # a lineage's image files; what lies deeper is nothing of the store's


def free(directory: Directory) -> int:
    """Bytes that an ordinary user may still write on the directory's file system."""
    left = os.fstatvfs(directory.fd)
    return left.f_bavail * left.f_frsize


def below(directory: Directory, deep: int = _DEEPEST) -> int:
    """Bytes on the disk of all below a directory, links not followed; what vanishes counts not."""
    total = 0
    for name in directory.names():
        try:
            status = os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
            total += status.st_blocks * 512
            if stat.S_ISDIR(status.st_mode) and deep > 0:
                with directory.sub(name) as inner:
                    total += below(inner, deep - 1)
        except OSError:  # removed meanwhile, or closed by its owner
            continue
    return total
