# SPDX-License-Identifier: MIT
"""Record the job's files while its tree stands still at a checkpoint.

Runs as the owner for good, beside the dump.  What is recorded here is what a restart brings back.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from typing import NamedTuple

from torqueckpt import file_rules, log
from torqueckpt.files import content, globs, held
from torqueckpt.files.copies import Copies
from torqueckpt.files.held import Held
from torqueckpt.files.temporary import Contents, Temporary
from torqueckpt.manifest import OpenFile, Place, Rule, WatchedFile
from torqueckpt.process import proc, tree
from torqueckpt.process.freeze import Freeze
from torqueckpt.process.other_names import OtherName
from torqueckpt.safe_files import Directory

_ACCESS = os.O_RDONLY | os.O_WRONLY | os.O_RDWR
_COARSE = 5  # CLOCK_REALTIME_COARSE, which files' times are of
_RECENT_NS = 60_000_000_000  # what changes every minute is copied at the freeze
_SETTLES_NS = 2_000_000_000  # coarser than any file system's clock


class Task(NamedTuple):
    """What to record: the rules, the job's output files, and what is to be left out.

    streams are descriptors of the job's output, which is kept in another way, as what lies below
    `store` is; what lies below `foreign` is the checkpointer's own.  Names of copies begin with
    prefix, they are made of files up to copy_limit bytes, and one of `earlier` (path → the last
    checkpoint's) is taken where it will do.  What a boot removes (`temporary`) is copied too.
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
    temporary: Temporary = Temporary()


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
    places: tuple[Place, ...] = ()
    doubts: tuple[str, ...] = ()  # remarks on files that a restart would not bring back
    goes: tuple[str, ...] = ()  # the same of those that the batch system removes with the job
    made_for_job: tuple[str, ...] = ()  # the directories in which it does


def look(task: Task, freeze: Freeze, stands_still: Callable[[], bool] | None = None) -> Look:
    """Wait for the freeze, record the files, let the tree run on, then fsync what was recorded.

    With stands_still(), the tree is frozen when that is True: no program is called then.
    """
    if not freeze.arrives(stands_still):
        return Look()
    watching = stands_still is not None and stands_still()
    found = held.of_tree(tree.below(task.root), task.temporary, task.other_names)
    seen = tuple(file for file in found.open if not file.path.startswith(task.foreign))
    looker = _Looker(task, {file.path for file in seen if file.mapped})
    for path, policy in written(seen, task.rules).items():
        looker.watch(path, policy)
    doubts = list(looker.remarks)
    looker.look_into_own()
    rules = tuple(looker.follow(rule) for rule in task.rules)
    sizes = tuple(os.fstat(fd).st_size for fd in task.streams)
    lost = tuple(each.path for each in task.other_names if not each.still_leads_there)
    if watching and stands_still is not None and not stands_still():
        looker.remarks.append("the job ran on before all its files were looked at")
    doubts += looker.copies.remarks
    frozen_ns = time.clock_gettime_ns(_COARSE)
    freeze.over()
    looker.copy_own(frozen_ns)
    places = looker.keep_temporary(found, frozen_ns)
    looker.sync()
    watched = tuple(looker.watched.values())
    rules += looker.rules_of_own()
    remarks = (*looker.remarks, *looker.copies.remarks, *looker.gone, *looker.goes)
    kept = (sizes, seen, watched, rules, remarks, lost, places)
    return Look(True, *kept, tuple(doubts), tuple(looker.goes), tuple(looker.own))


class _Looker:
    """Records files, and copies those that need a copy."""

    def __init__(self, task: Task, mapped: set[str]) -> None:
        self.task = task
        self._mapped = mapped
        self.copies = Copies(task.lineage, task.prefix, task.copy_limit, task.earlier, mapped)
        self._settled_before = time.time_ns() - _SETTLES_NS
        self.watched: dict[str, WatchedFile] = {}
        self.remarks: list[str] = []
        self.gone: list[str] = []
        self.goes: list[str] = []
        self._leased = content.leased()
        self.own = [each for each in task.temporary.of_job if _is_ours(each)]
        self._settled: list[str] = []  # in there, and left alone for longer than a copy takes
        self._all_of_own = True
        self._unasked: int | None = 0  # bytes of scratch files copied so far; None: the job runs
        self._streams = {_identity(os.fstat(fd)) for fd in task.streams}

    def ours(self, path: str, status: os.stat_result) -> bool:
        """Whether a file needs no record: the job's output and script are kept in other ways."""
        below = (self.task.store.rstrip("/") + "/", *content.KERNELS)
        in_stream = _identity(status) in self._streams
        return in_stream or path in self.task.spooled or path.startswith(below)

    def watch(self, path: str, policy: str) -> bool:
        """Record one file; False when it is there but cannot be read."""
        try:
            if content.is_leased(os.lstat(path), self._leased):
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
        temporary = self.task.temporary.holds(path) and status.st_uid == os.geteuid()
        fits = temporary and self.copies.have_room_for(status.st_size)
        unasked = self._unasked if policy != file_rules.SNAPSHOT else None
        if unasked is not None:  # the job stands still for it
            fits = fits and unasked + status.st_size <= self.task.copy_limit
        mine = self._in_own(path)
        whole = (file_rules.ROLLBACK, file_rules.APPEND) if mine else (file_rules.ROLLBACK,)
        if fits and policy in whole and not self._has_rule(path):
            policy = file_rules.SNAPSHOT
        left_alone = policy in (file_rules.APPEND, "")
        copied = policy == file_rules.SNAPSHOT or (fits and left_alone)
        copy = self.copies.of(path, fd, status) if copied else ""
        if unasked is not None and copy:
            self._unasked = unasked + status.st_size
        if mine and not copy and not self._has_rule(path):
            self.goes.append(f"{path}: {status.st_size} bytes, not copied, go with the job")
        elif temporary and not fits and not self._has_rule(path):
            self.gone.append(f"{path}: gone after a boot, {status.st_size} bytes are not copied")
        sampled = copy or policy in (file_rules.ROLLBACK, file_rules.SNAPSHOT)
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
            blocks=content.samples(fd, status.st_size) if sampled else (),
            copy=copy,
            temporary=temporary,
        )

    def _in_own(self, path: str) -> bool:
        return path.startswith(tuple(f"{each}/" for each in self.own))

    def _has_rule(self, path: str) -> bool:
        return file_rules.of_path(self.task.rules, path) != ""

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

    def look_into_own(self) -> None:
        """Record what lies in the directories that the batch system has made for this job alone.

        All of it is to come back as it was.  What was just changed is copied now, the job stands
        still; the rest once the job runs again.
        """
        recently = time.time_ns() - _RECENT_NS
        inside = Contents(self.own)
        self._all_of_own = inside.complete
        if not inside.complete:
            where = ", ".join(self.own)
            self.goes.append(f"{where}: more than {globs.MOST} names, the others go with the job")
        for path, size in inside.files.items():
            if path in self.watched or self._has_rule(path):
                continue
            room = self._unasked is not None and self._unasked + size <= self.task.copy_limit
            if room and _changed(path) >= recently:
                self._unasked = (self._unasked or 0) + size
                self._watch_own(path)
            else:
                self._settled.append(path)

    def copy_own(self, frozen_ns: int) -> None:
        """Copy of these what was left for now, if it is still as it was."""
        for path in self._settled:
            if self._watch_own(path):
                self._unless_changed(path, frozen_ns, told=True)
                self._all_of_own = self._all_of_own and path in self.watched

    def _watch_own(self, path: str) -> bool:
        """Record a file with its copy, or not at all: without one it may have any content."""
        if self.watch(path, file_rules.SNAPSHOT) and path in self.watched:
            if self.watched[path].copy:
                return True
            del self.watched[path]
        self._all_of_own = False
        return False

    def rules_of_own(self) -> tuple[Rule, ...]:
        """What a restart goes by: what it finds in there beyond all that is recorded is new."""
        globs_of_own = (f"{file_rules.quoted(each)}/**" for each in self.own)
        return tuple(Rule(each, file_rules.SNAPSHOT, self._all_of_own) for each in globs_of_own)

    def keep_temporary(self, found: Held, frozen_ns: int) -> tuple[Place, ...]:
        """Copy what a boot removes and the job only reads, or has in its own directories there.

        Gives these directories and what else lies in them.  The job runs again: what has changed
        since it stood still is not as the image needs it, and is left out.
        """
        temporary, self._leased, self._unasked = self.task.temporary, content.leased(), None
        open_there = (each for each in found.open if not each.deleted)
        read = {each.path for each in open_there if temporary.holds(each.path)} | found.mapped
        held = read | found.others | set(self.own)
        places = {
            place.path: place
            for path in held
            for above in (path, os.path.dirname(path))
            for place in temporary.own_above(above)
        }
        holding = {os.path.dirname(path) for path in held} | held
        inside = Contents(sorted(path for path in holding if path in places))
        places.update({each.path: each for each in inside.places})
        more = {path: size for path, size in inside.files.items() if path not in read}
        more = {path: size for path, size in more.items() if not self._in_own(path)}
        if not inside.complete or sum(more.values()) > self.task.copy_limit:
            said = f"{len(more)} files that are not open are too many or too large: not copied"
            self.remarks.append(f"{', '.join(sorted(holding & places.keys()))}: {said}")
            more = {}
        for path in sorted({*read, *more} - self.watched.keys()):
            if not self._has_rule(path) and self.watch(path, "") and path in self.watched:
                self._unless_changed(path, frozen_ns, told=path in read)
        return tuple(places[path] for path in sorted(places))

    def _unless_changed(self, path: str, frozen_ns: int, told: bool) -> None:
        """Drop what is no copy of a file as it was at the freeze."""
        file = self.watched[path]
        try:
            now = os.lstat(path).st_ctime_ns
        except OSError:
            now = frozen_ns
        if file.copy and file.ctime_ns == now < frozen_ns:
            return
        del self.watched[path]
        if told and file.copy:
            self.remarks.append(f"{path}: not copied, it was changed when the job ran on")

    def sync(self) -> None:
        """Fsync recorded files and copies: what was recorded must survive a crash of the node."""
        leased = content.leased()
        for path in self.watched:
            try:
                if content.is_leased(os.lstat(path), leased):
                    continue
                content.sync(content.open_regular(path, os.O_RDONLY))
            except OSError as problem:  # renamed or removed since, for the most part
                log.info(f"{path}: not synced: {problem.strerror}")
        self.copies.sync()


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


def _changed(path: str) -> int:
    try:
        return os.lstat(path).st_ctime_ns
    except OSError:  # gone
        return 0


def _is_ours(directory: str) -> bool:
    try:
        status = os.lstat(directory)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
