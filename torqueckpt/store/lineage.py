# SPDX-License-Identifier: MIT
"""A lineage: the first job and all jobs resumed from its images (layout.py: what lies in it)."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from torqueckpt import layout, log, typed_json
from torqueckpt.errors import Busy, NoImage, TorqueCkptError
from torqueckpt.identity import ProcessId
from torqueckpt.manifest import Manifest
from torqueckpt.process import proc
from torqueckpt.records import Live
from torqueckpt.safe_files import Directory
from torqueckpt.store.filesystem import locked, record, translated
from torqueckpt.store.generation import Generation

_HALF_LOG = re.compile(re.escape(layout.FAILED) + r".*\.new")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")

_NONE_READ: Mapping[int, Manifest] = {}


class Lineage:
    """One lineage's directory, held open; used only while acting as its owner."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        self.name = directory.name

    @property
    def path(self) -> Path:
        return self.directory.path

    @property
    def first_job(self) -> str:
        return self.name.rpartition("@")[0]

    @contextmanager
    def lock(self, seconds: float) -> Iterator[int]:
        """Take the lineage's lock; gives its descriptor.  Busy after `seconds` of waiting.

        The descriptor may be inherited: the lock lasts until the last copy of it is closed.
        """
        with ExitStack() as held:
            with translated(self.path):
                fd = held.enter_context(locked(self.directory, seconds, self.first_job))
            yield fd

    def is_locked(self) -> bool:
        """Whether a checkpoint, restart or removal is under way."""
        try:
            with locked(self.directory, 0, self.first_job):
                return False
        except Busy:
            return True

    def holds_lock(self, fd: int) -> bool:
        """Whether `fd`, given by another program, is this lineage's lock and is held."""
        try:
            given, own = os.fstat(fd), os.stat(layout.LOCK, dir_fd=self.directory.fd)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return (given.st_dev, given.st_ino) == (own.st_dev, own.st_ino)

    def numbers(self) -> list[int]:
        """The numbers of the whole generations, oldest first."""
        return sorted(int(name) for name in self.directory.names() if _NUMBER.fullmatch(name))

    def is_bare(self) -> bool:
        """Whether nothing was ever kept in it: each checkpoint was refused before its dump."""
        return set(self.directory.names()) <= {layout.LOCK, layout.FIRST}

    def newest_number(self) -> int:
        """Of the generation that was finished last; 0 when there is none."""
        return max(self.numbers(), default=0)

    def newest(self) -> Generation | None:
        """The generation that was finished last; None when there is none."""
        number = self.newest_number()
        return self.generation(number) if number else None

    def generation(self, number: int) -> Generation:
        try:
            return Generation(number, self.directory.sub(str(number)))
        except (FileNotFoundError, NotADirectoryError) as missing:
            which = f" of generation {number}"
            raise NoImage(job=self.first_job, which=which) from missing

    def generations(self) -> Iterator[Generation]:
        """All of them, oldest first, opened one after the other."""
        return map(self.generation, self.numbers())

    @contextmanager
    def new_generation(self) -> Iterator[Generation]:
        """Inside, a generation is made: it is renamed on a clean exit, removed on an error."""
        self.sweep()
        number = self.newest_number() + 1
        partial = f"{number}{layout.PARTIAL}"
        generation = Generation(number, self.directory.make(partial))
        try:
            generation.directory.make(layout.IMAGE).close()
            generation.directory.make(layout.WORK).close()
            yield generation
            self.directory.rename(partial, str(number))
        except BaseException:
            self._keep_logs(generation)
            self.directory.remove_tree(partial)
            raise
        generation.directory.path = self.path / str(number)

    def _keep_logs(self, failed: Generation) -> None:
        """Keep the checkpointer's logs of a failed dump, as LINEAGE/failed-….log."""
        try:
            with failed.directory.sub(layout.WORK) as work:
                for name in work.names():
                    if name.endswith(".log"):
                        self.directory.write_whole(f"{layout.FAILED}{name}", work.read(name))
        except OSError as problem:  # a full store, most likely: the error itself says more
            log.warning(f"{failed.path}: its logs are not kept: {problem.strerror}")

    def sweep(self) -> None:
        """Remove what actions that died have left; the lock is held, so that none is under way."""
        for name in self.directory.names():
            if name.endswith(layout.PARTIAL) or _HALF_LOG.fullmatch(name):
                self.directory.remove_tree(name)

    def remove(self, number: int) -> None:
        """Remove one generation: it is renamed first, then its files are removed."""
        self.directory.rename(str(number), f"{number}{layout.PARTIAL}")
        self.directory.remove_tree(f"{number}{layout.PARTIAL}")

    def prune(self, depth: int, known: Mapping[int, Manifest] | None = None) -> list[int]:
        """Remove all generations but the newest `depth`; gives the numbers of those removed.

        Where it is doubtful whether any of these would come back, the newest older one stays of
        which it is not.  known: manifests, by generation, that the caller has read already.
        """
        numbers, read = self.numbers(), known or {}
        old = numbers[: -max(depth, 1)]
        if old and all(self.is_doubtful(each, read) for each in reversed(numbers[len(old) :])):
            good = next((n for n in reversed(old) if not self.is_doubtful(n, read)), 0)
            old = [each for each in old if each != good]
        for number in old:
            self.remove(number)
        if old:
            self.sweep_copies(known)
        return old

    def is_doubtful(self, number: int, known: Mapping[int, Manifest] = _NONE_READ) -> bool:
        """Whether an image would perhaps not come back, or cannot be read."""
        try:
            manifest = known.get(number) or self.generation(number).manifest()
        except TorqueCkptError:
            return True
        return manifest.doubts != ()

    def sweep_copies(self, known: Mapping[int, Manifest] | None = None) -> None:
        """Remove the copies of files that no generation needs any more; known: as at prune()."""
        if not self.directory.has(layout.COPIES):
            return
        try:
            read = known or {}
            manifests = (read.get(n) or self.generation(n).manifest() for n in self.numbers())
            needed = {watched.copy for manifest in manifests for watched in manifest.watched}
        except TorqueCkptError as torn:  # nobody knows what that one needs
            log.warning(f"{self.path}: old copies stay: {torn}")
            return
        with self.directory.sub(layout.COPIES) as copies:
            for name in copies.names():
                if name not in needed:
                    copies.remove(name)

    def live(self) -> Live | None:
        """Read the live record; None when there is none yet, RecordTorn when it is damaged."""
        try:
            with record(self.path / layout.LIVE):
                return typed_json.from_json(Live, typed_json.load(self.directory.read(layout.LIVE)))
        except FileNotFoundError:
            return None

    def write_live(self, live: Live) -> None:
        self.directory.write_whole(layout.LIVE, typed_json.dump(live))

    def first_leader(self) -> ProcessId | None:
        try:
            with record(self.path / layout.FIRST):
                data = self.directory.read(layout.FIRST)
                return typed_json.from_json(ProcessId, typed_json.load(data))
        except FileNotFoundError:
            return None

    def write_first_leader(self, leader: ProcessId) -> None:
        self.directory.write_whole(layout.FIRST, typed_json.dump(leader))


def lives_here(live: Live | None) -> proc.Stat | None:
    """A process of the job's that lives on this node: its tree's root, else the record's keeper.

    None when both have ended, or are another node's.
    """
    if live is None:
        return None
    return tree_here(live) or proc.alive(live.keeper)


def tree_here(live: Live | None) -> proc.Stat | None:
    """The root of the job's tree, when it lives on this node."""
    return proc.alive(live.tree) if live is not None and live.tree is not None else None
