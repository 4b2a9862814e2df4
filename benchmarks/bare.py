# SPDX-License-Identifier: MIT
"""The bare checkpointer: the installed criu, as the owner, with the argv that torqueckpt gives it.

Only the script that has the job's files looked at is left out of it: that is work of ours.  Its
dumps are started by a shell, as by a hook of a site's own: a criu that was forked is put on another
processor than one that its starter becomes, and waits longer for the job's processes, which it
wakes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import xxhash

from benchmarks.place import Job, Place
from tests.support import INSTALLED
from torqueckpt.checkpointers.base import Dump, Restore
from torqueckpt.checkpointers.criu.criu import Criu
from torqueckpt.checkpointers.criu.images import read
from torqueckpt.process import privileges
from torqueckpt.settings import Settings

CRIU = INSTALLED / "criu" / "criu"
_CHUNK = 1024 * 1024  # as the store reads


@dataclass(frozen=True)
class Dumped:
    """Seconds: the program's wall, CRIU's own frozen time, the job's own gap."""

    wall: float
    frozen: float
    gap: float


class Bare:
    """Dumps into, and restores from, a directory of its own."""

    def __init__(self, where: Place) -> None:
        self._owner = privileges.owner(where.user.name)
        self._criu = Criu(Settings(criu_path=CRIU))
        self._root, self._dumps = where.site.root, 0

    @property
    def _top(self) -> Path:
        return self._root / f"bare.{self._dumps}"

    @property
    def _image(self) -> Path:
        return self._top / "image"

    @property
    def _work(self) -> Path:
        return self._top / "work"

    def dump(self, pid: int, job: Job) -> Dumped:
        self._dumps += 1
        for directory in (self._top, self._image, self._work):
            directory.mkdir()
            os.chown(directory, self._owner.uid, self._owner.gid)
        argv = self._criu.dump_argv(Dump(pid, self._image, self._work, False, False))
        before = time.monotonic()
        self._run(argv, orphan_seconds=600)
        after = time.monotonic()
        frozen = read(self._image, self._work).frozen_us / 1e6
        time.sleep(0.1)
        return Dumped(after - before, frozen, job.longest_gap(before, after))

    def fsync(self) -> float:
        """Seconds that it takes to have the image on the disk."""
        return _timed(self._image, os.fsync)

    def checksum(self) -> float:
        """Seconds that it takes to read the image once through its checksum."""
        return _timed(self._image, _digest)

    def restore(self, pid: int, job: Job, outputs: list[Path]) -> float:
        """Seconds from the call to the job's first step; the job is ended again."""
        opened = [(os.open(path, os.O_RDWR | os.O_APPEND), str(path)) for path in outputs]
        argv = self._criu.restore_argv(Restore(self._image, self._work, False, tuple(opened)))
        before = time.monotonic()
        self._run(argv, keep=tuple(fd for fd, _ in opened))
        again = job.ran_again(before)
        for fd, _ in opened:
            os.close(fd)
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        return again - before

    def remove(self) -> None:
        """All that it has dumped."""
        for made in self._root.glob("bare.*"):
            shutil.rmtree(made)

    def _run(
        self, argv: list[str], keep: tuple[int, ...] = (), orphan_seconds: int | None = None
    ) -> None:
        rights = self._criu.capabilities(False)
        # A shell forks; a restored job is to be our own child.
        by_hook = ("/bin/sh", "-c", '"$0" "$@"; exit $?') if orphan_seconds is not None else ()
        subprocess.run(
            [*by_hook, *privileges.as_owner_argv(self._owner, rights, argv, orphan_seconds)],
            env={"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(self._work)},
            stdin=subprocess.DEVNULL,
            pass_fds=keep,
            start_new_session=orphan_seconds is not None,  # as the store's dumps are
            cwd="/",
            check=True,
        )


def _timed(image: Path, work: Callable[[int], None]) -> float:
    spent = 0.0
    for path in sorted(image.iterdir()):
        fd = os.open(path, os.O_RDONLY)
        before = time.monotonic()
        work(fd)
        spent += time.monotonic() - before
        os.close(fd)
    return spent


def _digest(fd: int) -> None:
    state, buffer = xxhash.xxh3_128(), memoryview(bytearray(_CHUNK))
    while count := os.readv(fd, [buffer]):
        state.update(buffer[:count])
