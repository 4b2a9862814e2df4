# SPDX-License-Identifier: MIT
"""A file system that passes everything on to a directory, and fails or is slow as it is told.

python -m tests.faults.faulty_fs UNDER MOUNT ORDERS

ORDERS is a file that is read at each call: `CALL ERROR NUMBER` lets the calls of that kind fail
from the NUMBER-th on (`write EIO 3`); `slow MS` delays all of them; `squash` lets root make and
remove nothing; empty, all is well.
"""

from __future__ import annotations

import errno
import functools
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mfusepy

CALLS = ("create", "open", "write", "read", "fsync", "fsyncdir", "flush", "rename", "mkdir")
CALLS += ("symlink", "unlink", "rmdir", "readdir", "readlink", "chmod", "statfs")
_OF_WRITERS = ("create", "mkdir", "symlink", "rename", "unlink", "rmdir")


class FaultyFs(mfusepy.Operations):
    use_ns = True

    def __init__(self, under: Path, orders: Path) -> None:
        self._under, self._orders = str(under), orders
        self._seen = 0
        for call in CALLS:
            setattr(self, call, self._as_told(call, getattr(self, call)))

    def _as_told(self, call: str, well: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(well)
        def as_told(*arguments: Any, **named: Any) -> Any:
            what, *rest = self._orders.read_text().split() or [""]
            if what == "slow":
                time.sleep(int(rest[0]) / 1000)
            elif what == "squash" and call in _OF_WRITERS and mfusepy.fuse_get_context()[0] == 0:
                raise mfusepy.FuseOSError(errno.EACCES)
            elif what == call:
                self._seen += 1
                if self._seen >= int(rest[1]):
                    raise mfusepy.FuseOSError(getattr(errno, rest[0]))
            elif not what:
                self._seen = 0
            return well(*arguments, **named)

        return as_told

    def _at(self, path: str) -> str:
        return self._under + path

    def _is_the_callers(self, path: str) -> None:
        uid, gid, _ = mfusepy.fuse_get_context()
        os.chown(self._at(path), uid, gid, follow_symlinks=False)

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        found = os.fstat(fh) if fh is not None else os.lstat(self._at(path))
        names = ("st_mode", "st_ino", "st_nlink", "st_uid", "st_gid", "st_size", "st_blocks")
        times = {f"st_{which}time": getattr(found, f"st_{which}time_ns") for which in "amc"}
        return {name: getattr(found, name) for name in names} | times

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *os.listdir(self._at(path))]

    def readlink(self, path: str) -> str:
        return os.readlink(self._at(path))

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self._at(path))
        return {name: getattr(found, name) for name in dir(found) if name.startswith("f_")}

    def mkdir(self, path: str, mode: int) -> None:
        os.mkdir(self._at(path), mode)
        self._is_the_callers(path)

    def symlink(self, path: str, target: str) -> None:
        os.symlink(target, self._at(path))
        self._is_the_callers(path)

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        fd = os.open(self._at(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        self._is_the_callers(path)
        return fd

    def link(self, path: str, target: str) -> None:
        os.link(self._at(target), self._at(path), follow_symlinks=False)

    def rename(self, old: str, new: str) -> None:
        os.rename(self._at(old), self._at(new))

    def rmdir(self, path: str) -> None:
        os.rmdir(self._at(path))

    def unlink(self, path: str) -> None:
        os.unlink(self._at(path))

    def chmod(self, path: str, mode: int) -> None:
        os.chmod(self._at(path), mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        os.chown(self._at(path), uid, gid, follow_symlinks=False)

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> None:
        os.utime(self._at(path), ns=times, follow_symlinks=False)

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        os.truncate(fh if fh is not None else self._at(path), length)

    def open(self, path: str, flags: int) -> int:
        return os.open(self._at(path), flags & ~(os.O_APPEND | os.O_NOFOLLOW))

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        return os.pwrite(fh, data, offset)

    def flush(self, path: str, fh: int) -> None:
        os.close(os.dup(fh))

    def fsync(self, path: str, datasync: int, fh: int) -> None:
        os.fsync(fh)

    def fsyncdir(self, path: str, datasync: int, fh: int) -> None:
        fd = os.open(self._at(path), os.O_DIRECTORY)
        os.fsync(fd)
        os.close(fd)

    def release(self, path: str, fh: int) -> None:
        os.close(fh)


if __name__ == "__main__":
    under, mount, orders = sys.argv[1:]
    mfusepy.FUSE(
        FaultyFs(Path(under), Path(orders)),
        mount,
        foreground=True,
        allow_other=True,
        default_permissions=True,
        hard_remove=True,
    )
