# SPDX-License-Identifier: MIT
"""Copy files of the job's into the lineage's copies/, as they are at a checkpoint."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Mapping

from torqueckpt import layout
from torqueckpt.files import content
from torqueckpt.manifest import WatchedFile
from torqueckpt.safe_files import Directory

_MOST = 16  # times the limit, of all files together


class Copies:
    """Copies of one checkpoint's: files up to `limit` bytes, under names that begin with prefix.

    earlier: the last checkpoint's, by path; such a copy is taken again where the file, not being
    mapped, has not changed.  remarks: what was not copied, and why.
    """

    def __init__(
        self,
        lineage: Directory,
        prefix: str,
        limit: int,
        earlier: Mapping[str, WatchedFile],
        mapped: Collection[str],
    ) -> None:
        self.remarks: list[str] = []
        self.limit = limit
        self._lineage = lineage
        self._prefix = prefix
        self._earlier = earlier
        self._mapped = mapped
        self._names: list[str] = []
        self._bytes = 0

    def have_room_for(self, size: int) -> bool:
        return size <= self.limit and self._bytes + size <= _MOST * self.limit

    def of(self, path: str, fd: int, status: os.stat_result) -> str:
        """The copy's name; "" when the file is too large."""
        size = status.st_size
        before = self._earlier.get(path)
        if before is not None and before.copy and path not in self._mapped:
            known = (before.device, before.inode, before.size, before.ctime_ns, before.settled)
            now = (status.st_dev, status.st_ino, size, status.st_ctime_ns, True)
            if known == now and self._is_kept(before.copy, size):
                return before.copy
        if size > self.limit:
            self.remarks.append(f"{path}: {size} bytes, more than snapshot_limit_mib: not copied")
            return ""
        if not self.have_room_for(size):
            self.remarks.append(f"{path}: not copied, the job stands still for others long enough")
            return ""
        self._bytes += size
        name = f"{self._prefix}.{len(self._names)}"
        with self._lineage.make(layout.COPIES) as copies:
            target = copies.open_file(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        try:
            content.copy(fd, 0, target, 0, size)
        finally:
            os.close(target)
        self._names.append(name)
        return name

    def sync(self) -> None:
        if self._names:
            with self._lineage.make(layout.COPIES) as copies:
                for name in self._names:
                    content.sync(copies.open_file(name, os.O_RDONLY))
                copies.sync()
            self._lineage.sync()

    def _is_kept(self, copy: str, size: int) -> bool:
        """Whether a copy is still there: its owner, or his disk, may have lost it."""
        try:
            (status,) = self._lineage.stats(layout.COPIES, copy)
        except OSError:
            return False
        return stat.S_ISREG(status.st_mode) and status.st_size == size
