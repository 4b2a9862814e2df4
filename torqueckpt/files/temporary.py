# SPDX-License-Identifier: MIT
"""Tell what a boot removes: what lies on a tmpfs or in a temporary directory, as /tmp often is."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from torqueckpt.files import globs
from torqueckpt.manifest import Place

_LIVED_IN = ("HOME", "PBS_O_WORKDIR", "LS_SUBCWD")
_MADE_FOR_JOBS = ("TMPDIR", "PBS_JOBDIR")
_JOB_IDS = ("PBS_JOBID", "LSB_JOBID", "JOB_ID")
_NUMBER = re.compile(r"[0-9]+")
_NOT_EMPTIED = ("/", "/dev")  # on a tmpfs in containers, and on nodes without a disk


class Temporary(NamedTuple):
    """Directories whose content goes; mounts are those on a tmpfs.  Tops end with a slash each."""

    tops: tuple[str, ...] = ()
    mounts: frozenset[str] = frozenset()
    of_job: tuple[str, ...] = ()  # those that the batch system has made for this job, and removes

    def holds(self, path: str) -> bool:
        return path.startswith(self.tops)

    def own_above(self, path: str) -> Iterator[Place]:
        """A directory or FIFO of the job's own, and its directories above, that a boot removes."""
        while self.holds(f"{path}/") and path not in self.mounts:
            try:
                status = os.lstat(path)
            except OSError:
                return
            kept = stat.S_ISDIR(status.st_mode) or stat.S_ISFIFO(status.st_mode)
            if not kept or status.st_uid != os.geteuid():
                return
            yield place_of(path, status)
            path = os.path.dirname(path)


def of_job(configured: Iterable[str], environment: Mapping[str, str], pid: int) -> Temporary:
    """Those of the settings, and each tmpfs that a process of the job sees.

    A variable's directory that holds the job's home, or that it was submitted from, is none: not
    all that lies in it is scratch.
    """
    known = (environment[each] for each in _LIVED_IN if each in environment)
    lived_in = [f"{os.path.realpath(each)}/" for each in known]
    tops = set()
    for each in configured:
        top = os.path.realpath(environment.get(each[1:], "/") if each[:1] == "$" else each) + "/"
        if top != "//" and not (each[:1] == "$" and any(at.startswith(top) for at in lived_in)):
            tops.add(top)
    mounts = frozenset(_tmpfs(pid))
    made = _batch_systems(environment)
    own = tuple(top for top in made if not any(at.startswith(f"{top}/") for at in lived_in))
    tops |= {f"{each}/" for each in (*mounts, *own)}
    return Temporary((*sorted(tops),), mounts, own)


def _batch_systems(environment: Mapping[str, str]) -> Iterator[str]:
    """Directories named for the job, as below MOM's $tmpdir: they go at its end, and at a hold."""
    given = (environment[each] for each in _JOB_IDS if each in environment)
    numbers = {found.group() for found in map(_NUMBER.match, given) if found is not None}
    for name in _MADE_FOR_JOBS:
        path = os.path.realpath(environment.get(name, "/"))
        named = _NUMBER.match(os.path.basename(path).removeprefix("pbs."))  # as OpenPBS has it
        if named is not None and named.group() in numbers:
            yield path


def _tmpfs(pid: int) -> Iterator[str]:
    try:
        with open(f"/proc/{pid}/mountinfo", "rb") as file:
            rows = [line.split() for line in file if b" - tmpfs " in line or b" - ramfs " in line]
    except (OSError, ProcessLookupError):
        return
    for row in rows:
        path = os.fsdecode(row[4].replace(b"\\040", b" "))
        if path not in _NOT_EMPTIED:
            yield path


def place_of(path: str, status: os.stat_result, link: str = "") -> Place:
    changed = status.st_mtime_ns if stat.S_ISDIR(status.st_mode) else 0
    return Place(path, status.st_mode, link, changed)


class Contents:
    """The job's own files, and all else of his, below directories that are his alone.

    files maps each path to its size; complete is False when there were too many.
    """

    def __init__(self, directories: Iterable[str]) -> None:
        self.files: dict[str, int] = {}
        self.places: list[Place] = []
        self.complete = True
        seen = 0
        for directory in directories:
            for entry in globs.entries(directory, globs.DEEPEST, []):
                seen += 1
                if seen > globs.MOST:
                    self.complete = False
                    return
                self._add(entry)

    def _add(self, entry: os.DirEntry[str]) -> None:
        try:
            status = entry.stat(follow_symlinks=False)
            link = os.readlink(entry.path) if entry.is_symlink() else ""
        except OSError:  # gone meanwhile
            return
        if status.st_uid != os.geteuid():
            return
        if stat.S_ISREG(status.st_mode):
            self.files[entry.path] = status.st_size
        elif link or stat.S_ISDIR(status.st_mode) or stat.S_ISFIFO(status.st_mode):
            self.places.append(place_of(entry.path, status, link))
