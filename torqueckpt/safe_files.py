# SPDX-License-Identifier: MIT
"""Handle files and directories as root must: step by step, through no link, each file whole.

Functions raise plain OSError; the floor that knows what the file means translates it.  What is read
is charged to the owner whose turn it is (budget.py), and what has no end has one here.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from torqueckpt import budget

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

# Passing through needs no right to list: MOM's own directories are 0751.
_ON_THE_WAY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

SMALL = 16 * 1024 * 1024  # no file is larger that is read whole, unless layout.py says more
ANY_SIZE = 1 << 62  # of a file that is written for others, and never read whole

_CHARGED = 64  # entries at a time

_AT_ONCE = 1000  # entries that are removed before the next are asked for

_MANY = 1_000_000  # no directory of ours has so many entries, nor a tree that is removed


class Directory:
    """A directory held open; names below it are opened relative to it and never through a link."""

    def __init__(self, fd: int, path: Path | str) -> None:
        self.fd = fd
        self._path = path

    @property
    def path(self) -> Path:
        """The directory's path, made when asked for.

        A listing opens many directories and names few.
        """
        return Path(self._path)

    @path.setter
    def path(self, now: Path) -> None:
        self._path = now

    @property
    def name(self) -> str:
        return str(self._path).rpartition("/")[2]

    @classmethod
    def open(cls, path: Path) -> Directory:
        """Open an absolute path step by step; OSError(ELOOP or ENOTDIR) at the first link."""
        fd = os.open("/", _ON_THE_WAY)
        try:
            for name in path.parts[1:]:
                below = os.open(name, _ON_THE_WAY, dir_fd=fd)
                os.close(fd)
                fd = below
            try:
                return cls(os.open(".", _DIRECTORY, dir_fd=fd), path)
            except PermissionError:  # may be passed through, but not listed
                return cls(os.dup(fd), path)
        finally:
            os.close(fd)

    def __enter__(self) -> Directory:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __del__(self) -> None:  # a listing opens more of them than a process may have
        self.close()

    def sub(self, name: str) -> Directory:
        budget.spend()
        return Directory(os.open(_plain(name), _DIRECTORY, dir_fd=self.fd), f"{self._path}/{name}")

    def make(self, name: str, mode: int = 0o700) -> Directory:
        """Open the sub-directory `name`, making it when it is not there."""
        try:
            os.mkdir(_plain(name), mode, dir_fd=self.fd)
        except FileExistsError:
            return self.sub(name)
        return self.sub(name)

    def names(self) -> list[str]:
        return sorted(entry.name for entry in self.entries())

    def entries(self) -> Iterator[os.DirEntry[str]]:
        """What lies in the directory, in no order; OSError(EFBIG) at the millionth entry."""
        count = 0
        with os.scandir(self.fd) as found:
            for entry in found:
                count += 1
                if count > _MANY:
                    raise OSError(errno.EFBIG, f"more than {_MANY} entries", str(self._path))
                if count % _CHARGED == 0:
                    budget.spend(_CHARGED)
                yield entry
        budget.spend(count % _CHARGED)

    def has(self, name: str) -> bool:
        return _exists_at(_plain(name), self.fd)

    def stats(self, name: str, *names: str) -> list[os.stat_result]:
        """Of files in the sub-directory `name`, links not followed; quicker than by sub()."""
        budget.spend(len(names))
        fd = os.open(_plain(name), _ON_THE_WAY, dir_fd=self.fd)
        try:
            return [os.stat(each, dir_fd=fd, follow_symlinks=False) for each in names]
        finally:
            os.close(fd)

    def open_file(self, name: str, flags: int, mode: int = 0o600) -> int:
        """Open the regular file `name`; a FIFO or device planted there is refused."""
        fd = os.open(
            _plain(name),
            flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC,
            mode,
            dir_fd=self.fd,
        )
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "not a regular file", str(self.path / name))
        return fd

    def read(self, name: str, limit: int = SMALL) -> bytes:
        fd = self.open_file(name, os.O_RDONLY)
        try:
            size = os.fstat(fd).st_size
            if size > limit:
                raise OSError(errno.EFBIG, f"larger than {limit} bytes", str(self.path / name))
            budget.spend(size=size)
            data = os.read(fd, size)
            while len(data) < size and (more := os.read(fd, size - len(data))):
                data += more
            return data
        finally:
            os.close(fd)

    def write_whole(
        self,
        name: str,
        data: bytes,
        mode: int = 0o600,
        through_crashes: bool = True,
        limit: int = SMALL,
    ) -> None:
        """Write a file that after a crash is there with all of `data`, or as it was before.

        through_crashes False: after one of the node it may be empty; the disk is not waited for.
        limit: read()'s; with more data it is OSError(EFBIG), and nothing is written.
        """
        if len(data) > limit:
            told = f"{name} would have {len(data)} bytes, and more than {limit} are not read again"
            raise OSError(errno.EFBIG, told, str(self.path / name))
        scratch = f"{_plain(name)}.new"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with os.fdopen(self.open_file(scratch, flags, mode), "wb") as file:
            os.fchmod(file.fileno(), mode)  # whatever the umask, or an earlier file's
            file.write(data)
            file.flush()
            if through_crashes:
                os.fsync(file.fileno())
        os.rename(scratch, _plain(name), src_dir_fd=self.fd, dst_dir_fd=self.fd)
        if through_crashes:
            os.fsync(self.fd)

    def write_once(self, name: str, data: bytes, scratch: str) -> bool:
        """Write a file that must not be there yet, whole; False when somebody else was first.

        Also on a file system of many nodes: link(2) decides, as in open(2) under O_EXCL.  `scratch`
        is a name that nobody else uses; a writer that is killed may leave it, also with .new
        behind.
        """
        self.write_whole(scratch, data)
        try:
            os.link(
                scratch, _plain(name), src_dir_fd=self.fd, dst_dir_fd=self.fd, follow_symlinks=False
            )
            os.fsync(self.fd)
            return True
        except FileExistsError:  # or the answer of a file server got lost and it was asked again
            return os.stat(scratch, dir_fd=self.fd, follow_symlinks=False).st_nlink == 2
        finally:
            self.remove(scratch)

    def append_line(self, name: str, line: str) -> None:
        """Append one line by a single write, so that lines of several writers never mix."""
        fd = self.open_file(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            os.write(fd, line.encode("utf-8", "surrogateescape") + b"\n")
        finally:
            os.close(fd)

    def rename(self, old: str, new: str) -> None:
        os.rename(_plain(old), _plain(new), src_dir_fd=self.fd, dst_dir_fd=self.fd)
        os.fsync(self.fd)

    def point(self, name: str, target: str) -> None:
        """Make or swap the symbolic link `name`; whoever looks finds the old target or the new."""
        try:  # a first one needs no scratch name, which a crash could leave
            os.symlink(target, _plain(name), dir_fd=self.fd)
            os.fsync(self.fd)
        except FileExistsError:
            scratch = f"{name}.new"
            self.remove(scratch)
            os.symlink(target, scratch, dir_fd=self.fd)
            self.rename(scratch, name)

    def link(self, name: str, target: str) -> None:
        """Make the symbolic link `name`, which must not be there yet."""
        os.symlink(target, _plain(name), dir_fd=self.fd)

    def target(self, name: str) -> str | None:
        """Where the symbolic link `name` points; None when there is none."""
        try:
            return os.readlink(_plain(name), dir_fd=self.fd)
        except FileNotFoundError:
            return None
        except OSError as problem:
            if problem.errno == errno.EINVAL:  # something else has that name
                return None
            raise

    def remove(self, name: str) -> None:
        """Remove a file or link; fine when there is none."""
        try:
            os.unlink(_plain(name), dir_fd=self.fd)
        except FileNotFoundError:
            return

    def remove_tree(self, name: str) -> None:
        """Remove `name` and all below it, as `rm -rf` does, without leaving this directory.

        However deep it is: directories within directories are first moved up, below `name`.  What
        somebody goes on filling is left, OSError(EFBIG), after so many entries.
        """
        top = self._opened_for_removal(name)
        if top is None:
            return
        mark, moved, count = os.urandom(8).hex(), 0, 0
        with top:
            while names := _some_names(top):
                for each in names:
                    count += 1
                    inner = top._opened_for_removal(each)
                    if inner is None:
                        continue
                    with inner:
                        while below := _some_names(inner):
                            for one in below:
                                count += 1
                                moved += _moved_up(inner, one, top, f"{mark}.{moved}")
                            if count > _MANY:
                                problem = f"more than {_MANY} entries"
                                raise OSError(errno.EFBIG, problem, str(top.path))
                    os.rmdir(each, dir_fd=top.fd)
        os.rmdir(_plain(name), dir_fd=self.fd)

    def _opened_for_removal(self, name: str) -> Directory | None:
        """Open a directory, made passable when it is not; what is none is removed instead."""
        try:
            fd = os.open(_plain(name), _ON_THE_WAY, dir_fd=self.fd)
        except FileNotFoundError:
            return None
        except OSError as problem:
            if problem.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            self.remove(name)
            return None
        try:
            if stat.S_IMODE(os.fstat(fd).st_mode) & 0o700 != 0o700:
                os.chmod(f"/proc/self/fd/{fd}", 0o700)
        finally:
            os.close(fd)
        return self.sub(name)

    def sync(self) -> None:
        os.fsync(self.fd)


def _some_names(directory: Directory) -> list[str]:
    """Names of some of its entries; none when it is empty."""
    with os.scandir(directory.fd) as found:
        names = [entry.name for entry, _ in zip(found, range(_AT_ONCE))]
    budget.spend(len(names))
    return names


def _moved_up(inner: Directory, name: str, top: Directory, new: str) -> bool:
    """Move a directory to the top, True; remove what is none."""
    opened = inner._opened_for_removal(name)
    if opened is None:
        return False
    opened.close()
    os.rename(name, new, src_dir_fd=inner.fd, dst_dir_fd=top.fd)
    return True


def _plain(name: str) -> str:
    if "/" in name or "\0" in name or name in ("", ".", ".."):
        raise OSError(errno.EINVAL, "not a plain file name", name)
    return name


def _exists_at(name: str, dir_fd: int) -> bool:
    try:
        os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
