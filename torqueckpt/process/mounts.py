# SPDX-License-Identifier: MIT
"""Which file system a path lies on."""

from __future__ import annotations

import os
from pathlib import Path

SHARED = (
    "nfs",
    "nfs4",
    "lustre",
    "gpfs",
    "beegfs",
    "cephfs",
    "ceph",
    "glusterfs",
    "fuse.glusterfs",
)


def kind_of(path: Path) -> str:
    """As mount(8) calls it, as in ext4, nfs4, tmpfs; "" when nothing tells."""
    import psutil  # not every node has it, and a hook would wait for its import

    mounted = {each.mountpoint: each.fstype for each in psutil.disk_partitions(all=True)}
    real = Path(os.path.realpath(path))
    return next((mounted[str(at)] for at in (real, *real.parents) if str(at) in mounted), "")
