# SPDX-License-Identifier: MIT
"""Record the job's files while its tree stands still at a checkpoint.

Runs as the owner for good, beside the dump.  What is recorded here is what a restart brings back.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from torqueckpt import file_rules, layout, log
from torqueckpt.files import content, globs
from torqueckpt.manifest import OpenFile, Rule, WatchedFile
from torqueckpt.process import proc, tree
from torqueckpt.process.freeze import Freeze
from torqueckpt.process.other_names import OtherName
from torqueckpt.safe_files import Directory

_MOST_COPIED = 16  # times snapshot_limit_mib, of all files together
_ACCESS = os.O_RDONLY | os.O_WRONLY | os.O_RDWR
_NO_FILES = ("pipe:", "socket:", "anon_inode:")
_SETTLES_NS = 2_000_000_000  # coarser than any file system's clock


class Task(NamedTuple):
    """What to record: the rules, the job's output files, and what is to be left out.

    streams are descriptors of the job's output, which is kept in another way, as what lies below
    `store` is; what lies below `foreign` is the checkpointer's own.  Names of copies begin with
    prefix, they are made of files up to copy_limit bytes, and one of `earlier` (path → the last
    checkpoint's) is taken where it will do.
    """

    root: proc.Stat
    rules: tuple[Rule, ...]
    streams: tuple[int, ...]
    spooled: tuple[str, ...]
    lineage: Directory
    store: str
    foreign: tuple[str, ...]
    prefix: str
    copy_limit: int
    earlier: dict[str, WatchedFile]
    other_names: tuple[OtherName, ...] = ()  # by which those files are recorded


class Look(NamedTuple):
    """What was recorded, if the freeze came.

    stream_sizes are in the order of the task's streams.  lost: other names of files, of the task's,
    that led elsewhere by then.
    """

    frozen: bool = False
    stream_sizes: tuple[int, ...] = ()
    open: tuple[OpenFile, ...] = ()
    watched: tuple[WatchedFile, ...] = ()
    rules: tuple[Rule, ...] = ()
    remarks: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


def look(task: Task, freeze: Freeze, stands_still: Callable[[], bool] | None = None) -> Look:
    """Wait for the freeze, record the files, let the tree run on, then fsync what was recorded.

    With stands_still(), the tree is frozen when that is True: no program is called then.
    """
    if not freeze.arrives(stands_still):
        return Look()
    watching = stands_still is not None and stands_still()
    found = open_files(tree.below(task.root), task.other_names)
    seen = tuple(file for file in found if not file.path.startswith(task.foreign))
    looker = _Looker(task, {file.path for file in seen if file.mapped})
    for path, policy in written(seen, task.rules).items():
        looker.watch(path, policy)
    rules = tuple(looker.follow(rule) for rule in task.rules)
    sizes = tuple(os.fstat(fd).st_size for fd in task.streams)
    lost = tuple(each.path for each in task.other_names if not each.still_leads_there)
    if watching and stands_still is not None and not stands_still():
        looker.remarks.append("the job ran on before all its files were looked at")
    freeze.over()
    looker.sync()
    watched, remarks = tuple(looker.watched.values()), tuple(looker.remarks)
    return Look(True, sizes, seen, watched, rules, remarks, lost)


class _Looker:
    """Records files, and copies those that need a copy."""

    def __init__(self, task: Task, mapped: set[str]) -> None:
        self.task = task
        self._mapped = mapped
        self._settled_before = time.time_ns() - _SETTLES_NS
        self.watched: dict[str, WatchedFile] = {}
        self.remarks: list[str] = []
        self._copied_bytes = 0
        self._copies: list[str] = []
        self._leased = content.leased()
        self._streams = {_identity(os.fstat(fd)) for fd in task.streams}

    def ours(self, path: str, status: os.stat_result) -> bool:
        """Whether a file needs no record: the job's output and script are kept in other ways."""
        below = (self.task.store.rstrip("/") + "/", *content.KERNELS)
        in_stream = _identity(status) in self._streams
        return in_stream or path in self.task.spooled or path.startswith(below)

    def watch(self, path: str, policy: str) -> bool:
        """Record one file; False when it is there but cannot be read."""
        try:
            if _identity(os.lstat(path)) in self._leased:
                self.remarks.append(f"{path}: not looked after: under a lease of the job's")
                return False
            fd = content.open_regular(path, os.O_RDONLY)
        except OSError as problem:
            self.remarks.append(f"{path}: not looked after: {problem.strerror}")
            return isinstance(problem, FileNotFoundError)
        try:
            status = os.fstat(fd)
            if not self.ours(path, status):
                self.watched[path] = self._recorded(path, policy, fd, status)
            return True
        finally:
            os.close(fd)

    def _recorded(self, path: str, policy: str, fd: int, status: os.stat_result) -> WatchedFile:
        restored = policy in (file_rules.ROLLBACK, file_rules.SNAPSHOT)
        return WatchedFile(
            path=path,
            policy=policy,
            device=status.st_dev,
            inode=status.st_ino,
            mode=stat.S_IMODE(status.st_mode),
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
            ctime_ns=status.st_ctime_ns,
            # Stores to a mapped page need not change the times.
            settled=status.st_ctime_ns < self._settled_before and path not in self._mapped,
            blocks=content.samples(fd, status.st_size) if restored else (),
            copy=self._copied(path, fd, status) if policy == file_rules.SNAPSHOT else "",
        )

    def follow(self, rule: Rule) -> Rule:
        """Record the files that a rule matches, open or not.

        Gives the rule with whether these were all.

        Only then is what a restart finds beyond them new.  Files that are left alone need no
        record.
        """
        if rule.policy not in (file_rules.ROLLBACK, file_rules.SNAPSHOT):
            return rule
        matches, read_all = globs.Matches(rule, self.task.rules), True
        for path in matches:
            if path not in self.watched and not self.watch(path, rule.policy):
                read_all = False
        self.remarks += [f"{each}: not looked into" for each in matches.closed]
        if not matches.complete:
            self.remarks.append(
                f"{rule.glob}: too many files, those beyond {globs.MOST} are not looked after"
            )
        return rule._replace(complete=matches.complete and not matches.closed and read_all)

    def sync(self) -> None:
        """Fsync recorded files and copies: what was recorded must survive a crash of the node."""
        leased = content.leased()
        for path in self.watched:
            try:
                if _identity(os.lstat(path)) in leased:
                    continue
                _sync(content.open_regular(path, os.O_RDONLY))
            except OSError as problem:  # renamed or removed since, for the most part
                log.info(f"{path}: not synced: {problem.strerror}")
        if self._copies:
            with self.task.lineage.make(layout.COPIES) as copies:
                for name in self._copies:
                    _sync(copies.open_file(name, os.O_RDONLY))
                copies.sync()
            self.task.lineage.sync()

    def _copied(self, path: str, fd: int, status: os.stat_result) -> str:
        size = status.st_size
        before = self.task.earlier.get(path)
        if before is not None and before.copy and path not in self._mapped:
            known = (before.device, before.inode, before.size, before.ctime_ns, before.settled)
            now = (*_identity(status), size, status.st_ctime_ns, True)
            if known == now and self._is_kept(before.copy, size):
                return before.copy
        if size > self.task.copy_limit:
            self.remarks.append(f"{path}: {size} bytes, more than snapshot_limit_mib: not copied")
            return ""
        if self._copied_bytes + size > _MOST_COPIED * self.task.copy_limit:
            self.remarks.append(f"{path}: not copied, the job stands still for others long enough")
            return ""
        self._copied_bytes += size
        name = f"{self.task.prefix}.{len(self._copies)}"
        with self.task.lineage.make(layout.COPIES) as copies:
            target = copies.open_file(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        try:
            content.copy(fd, 0, target, 0, size)
        finally:
            os.close(target)
        self._copies.append(name)
        return name

    def _is_kept(self, copy: str, size: int) -> bool:
        """Whether a copy is still there: its owner, or his disk, may have lost it."""
        try:
            (status,) = self.task.lineage.stats(layout.COPIES, copy)
        except OSError:
            return False
        return stat.S_ISREG(status.st_mode) and status.st_size == size


def written(seen: tuple[OpenFile, ...], rules: tuple[Rule, ...]) -> dict[str, str]:
    """The files that the tree can write to, with the policy of each: path → policy.

    Who writes without O_APPEND owns the file; one that is appended to may be others' too.  Mapped
    ones are changed in place, so cutting would not do; shared memory (/dev/shm) is among them.
    """
    found: dict[str, set[str]] = {}
    for file in seen:
        if file.deleted or not (file.mapped or file.flags & _ACCESS):
            continue
        own = file_rules.APPEND if file.flags & os.O_APPEND else file_rules.ROLLBACK
        found.setdefault(file.path, set()).add(file_rules.SNAPSHOT if file.mapped else own)
    order = (file_rules.SNAPSHOT, file_rules.ROLLBACK, file_rules.APPEND)
    return {
        path: file_rules.of_path(rules, path) or next(each for each in order if each in wanted)
        for path, wanted in found.items()
    }


def open_files(
    members: list[proc.Stat], other_names: tuple[OtherName, ...] = ()
) -> Iterator[OpenFile]:
    """The regular files that the tree has open, and those that it has mapped shared.

    A file whose opened name is gone has its other name, where that is known.
    """
    names = {(each.device, each.inode): each.path for each in other_names}
    for each in members:
        mapped = proc.shared_maps(each.pid, names)
        yield from (
            OpenFile(each.pid, -1, path, 0, 0, os.O_RDWR, 0, 0, True, False) for path in mapped
        )
        for fd in proc.descriptors(each.pid):
            link = f"/proc/{each.pid}/fd/{fd}"
            try:
                path = os.readlink(link)
                if path.startswith(_NO_FILES):  # told without asking more: the job stands still
                    continue
                status = os.stat(link)
                if not stat.S_ISREG(status.st_mode):
                    continue
                offset, flags = proc.offset_and_flags(each.pid, fd)
            except FileNotFoundError:  # closed by a checkpointer that works within the process
                continue
            path = names.get((status.st_dev, status.st_ino), path)
            yield OpenFile(
                *(each.pid, fd, path, status.st_dev, status.st_ino, flags, offset),
                *(status.st_size, path in mapped, status.st_nlink == 0),
            )


def _sync(fd: int) -> None:
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
