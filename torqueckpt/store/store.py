# SPDX-License-Identifier: MIT
"""The store's root directory: root's own, with a link for each job and a directory for each owner.

What lies in it is drawn in layout.py.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from torqueckpt import layout
from torqueckpt.errors import InvalidJobId, StoreMissing, StoreNotWritable
from torqueckpt.identity import Owner, is_lineage_name, job_id
from torqueckpt.process import privileges
from torqueckpt.safe_files import Directory
from torqueckpt.store.filesystem import locked, translated
from torqueckpt.store.lineage import Lineage

_LINK = re.compile(r"[0-9]{1,10}\.(.+)")
_TARGET = re.compile(rf"{layout.JOBS}/([^/]+)/[^/]+/[0-9]+/{layout.IMAGE}")
_LINKS = 500_000  # whose names are read
_LOOKED_AT = 10_000  # links of an owner's at a time; of more, others the next time
_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Store:
    """The store's root directory, held open."""

    def __init__(self, root: Directory) -> None:
        self.root = root

    @classmethod
    def open(cls, path: Path) -> Store:
        try:
            root = Directory.open(path)
            if not root.has(layout.JOBS):
                path = path / layout.JOBS
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            return cls(root)
        except FileNotFoundError as missing:
            raise StoreMissing(path=path, remedy="`make install` makes it") from missing
        except OSError as problem:
            why = problem.strerror
            if problem.errno in (errno.ELOOP, errno.ENOTDIR):
                why = "is no directory, or a link leads to it: name its real path in the settings"
            raise StoreNotWritable(path=path, problem=why) from problem

    def owner(self, owner: Owner, make: bool = False) -> OwnerStore:
        """Open the owner's directory; `make` makes it, which needs root unless it is there already.

        StoreMissing when there is none: nothing of this owner was ever checkpointed.
        """
        path = layout.of_owner(self.root.path, owner.name)
        try:
            with self.root.sub(layout.JOBS) as jobs:
                if make:
                    with translated(path):
                        _make_owned(jobs, owner)
                below = jobs.sub(owner.name)
        except FileNotFoundError as missing:
            raise StoreMissing(path=path, remedy="nothing was checkpointed yet") from missing
        except OSError as problem:
            raise StoreNotWritable(path=path, problem=problem.strerror) from problem
        status = os.fstat(below.fd)
        if status.st_uid != owner.uid or status.st_mode & 0o077:
            problem_text = f"must belong to {owner.name} with mode 0700"
            raise StoreNotWritable(path=path, problem=problem_text)
        return OwnerStore(below)

    def status_of(self, owner: str) -> os.stat_result | None:
        """Of an owner's directory, which names its owner; None where there is none."""
        if "/" in owner or owner.startswith("."):
            return None
        try:
            return self.root.stats(layout.JOBS, owner)[0]
        except OSError:
            return None

    def owners(self) -> list[str]:
        with translated(self.root.path / layout.JOBS), self.root.sub(layout.JOBS) as jobs:
            return jobs.names()

    def link(
        self,
        exec_pid: int,
        job: str,
        owner: str,
        lineage: str,
        generation: int,
        older: Iterable[str] = (),
    ) -> None:
        """Make <exec pid>.<job id> lead to a whole image, as root.

        older: names that links to images of this lineage had, as its owner says.  Those of the same
        job go, and those whose image has gone.
        """
        theirs = f"{layout.JOBS}/{owner}/"
        name, place = f"{exec_pid}.{job}", f"{theirs}{lineage}/"
        old, target = self.root.target(name), f"{place}{generation}/{layout.IMAGE}"
        with privileges.acting_as_root():
            if old != target:  # else it is a call that came again
                if old and not old.startswith(theirs) and (self.root.path / old).exists():
                    raise FileExistsError(errno.EEXIST, "it leads to another user's image")
                self.root.point(name, target)
            for each in set(older) - {name}:
                of = _job_of(each)
                leads = self.root.target(each) if of else None
                if leads is None or not leads.startswith(place):
                    continue
                if of == job or self._is_nowhere(leads):
                    self.root.remove(each)

    def tidy(self, owner: str = "", but: Collection[str] = ()) -> None:
        """Remove, as root, links that lead nowhere: an owner's, or everybody's but of some."""
        looked_at: Counter[str] = Counter()
        with privileges.acting_as_root():
            found = islice(self.root.entries(), _LINKS)  # users' images make them: there is no end
            names = sorted(entry.name for entry in found if _job_of(entry.name))
            begin = int(time.time()) % len(names) if names else 0
            for name in names[begin:] + names[:begin]:
                target = self.root.target(name)
                match = _TARGET.fullmatch(target) if target is not None else None
                if match is None or target is None or owner not in ("", match.group(1)):
                    continue
                if match.group(1) in but:
                    continue
                looked_at[match.group(1)] += 1
                if looked_at[match.group(1)] <= _LOOKED_AT and self._is_nowhere(target):
                    self.root.remove(name)

    def _is_nowhere(self, target: str) -> bool:
        """Whether there is no such image; whatever its owner has put on the way to it is none."""
        try:
            below = self.root
            for name in target.split("/"):
                below = below.sub(name)
        except OSError as problem:
            return problem.errno in _NOWHERE  # else it is not known: a file server may refuse root
        return False


def _job_of(name: str) -> str:
    """Whose link has this name; "" when none has."""
    match = _LINK.fullmatch(name)
    try:
        return job_id(match.group(1)) if match else ""
    except InvalidJobId:
        return ""


class OwnerStore:
    """One owner's directory; used only while acting as him."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory

    @property
    def path(self) -> Path:
        return self.directory.path

    def lineage_of(self, job: str) -> Lineage | None:
        """Open the lineage of a job id, or of a lineage's own name; None when unknown."""
        name = job if is_lineage_name(job) else self._id(job)
        if name is None or not is_lineage_name(name):
            return None
        try:
            return Lineage(self.directory.sub(name))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def lineages(self) -> Iterator[Lineage]:
        """Open all lineages, one after the other: a process may not have so many open."""
        return self.opened(self.lineage_names())

    def lineage_names(self) -> list[str]:
        return [name for name in self.directory.names() if is_lineage_name(name)]

    def lineages_of_first(self, job: str) -> list[Lineage]:
        """Open the lineages whose first job had this id."""
        names = self.lineage_names()
        return list(self.opened(name for name in names if name.rpartition("@")[0] == job))

    def opened(self, names: Iterable[str]) -> Iterator[Lineage]:
        """Open those of these lineages that exist."""
        for name in names:
            try:
                below = self.directory.sub(name)
            except OSError:  # removed meanwhile, closed by its owner, or not a directory
                continue
            yield Lineage(below)

    def make_lineage(self, name: str) -> Lineage:
        with translated(self.path):
            return Lineage(self.directory.make(name))

    def belongs(self, job: str, lineage: Lineage) -> None:
        """Record that the job's images belong to this lineage from now on."""
        with translated(self.path), self.directory.make(layout.IDS) as ids:
            if ids.target(job) != lineage.name:
                ids.point(job, lineage.name)

    def holds(self, lineage: Lineage) -> bool:
        """Whether the lineage is still there, and not removed or another one by now."""
        try:
            there = os.stat(lineage.name, dir_fd=self.directory.fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        own = os.fstat(lineage.directory.fd)
        return (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino)

    def forget(self, lineage: Lineage) -> None:
        """Remove a lineage with all that it holds, and the job ids that lead to it."""
        with translated(self.path):
            with self.directory.make(layout.IDS) as ids:
                for job in self.jobs_of(lineage):
                    ids.remove(job)
            self.directory.remove_tree(lineage.name)

    def jobs_of(self, lineage: Lineage) -> list[str]:
        """The ids of all jobs whose images belong to the lineage."""
        with self.directory.make(layout.IDS) as ids:
            return [job for job in ids.names() if ids.target(job) == lineage.name]

    def ids(self) -> list[str]:
        """The ids of all jobs that have images."""
        try:
            with self.directory.sub(layout.IDS) as ids:
                return ids.names()
        except FileNotFoundError:
            return []

    @contextmanager
    def lock(self, seconds: float, job: str) -> Iterator[None]:
        """Lock the finding and making of a job's lineage: two first checkpoints must make one."""
        with translated(self.path), locked(self.directory, seconds, job):
            yield

    def _id(self, job: str) -> str | None:
        try:
            with self.directory.sub(layout.IDS) as ids:
                return ids.target(job)
        except FileNotFoundError:
            return None


def _make_owned(jobs: Directory, owner: Owner) -> None:
    """Make the owner's directory, or give it to him when a crash left it root's."""
    if jobs.has(owner.name) and os.stat(owner.name, dir_fd=jobs.fd).st_uid != 0:
        return
    if os.getuid() != 0:
        raise StoreMissing(
            path=jobs.path / owner.name, remedy="root makes it at the first checkpoint"
        )
    with privileges.acting_as_root(), jobs.make(owner.name) as made:
        os.fchown(made.fd, owner.uid, owner.gid)
