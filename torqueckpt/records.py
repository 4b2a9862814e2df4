# SPDX-License-Identifier: MIT
"""Records in the store that change: who runs a lineage, what a restart is about to change."""

from typing import NamedTuple, Optional

from torqueckpt.identity import ProcessId
from torqueckpt.manifest import Place


class LiveStream(NamedTuple):
    """The file that the job's stdout or stderr goes to now.

    base is the offset in that file at which the job's own output begins; kept names the file in the
    lineage's output/ that grows with it.
    """

    name: str
    path: str
    device: int
    inode: int
    base: int
    kept: str


class Live(NamedTuple):
    """Who runs a lineage; written, with its lock held, before a restored tree's first instruction.

    keeper is the session leader of a first job, the supervisor of a restored one; tree is None
    while a restore is under way.  attempt names the intent that led to it, "" for a first job.
    """

    job: str
    host: str
    keeper: ProcessId
    tree: Optional[ProcessId]  # noqa: UP045 (read at run time, also by Python 3.9)
    attempt: str
    streams: tuple[LiveStream, ...]
    written: int

    @property
    def restored(self) -> bool:
        return self.attempt != ""


class Claim(NamedTuple):
    """Who is restarting a lineage, in one file for all nodes, where locks do not reach them.

    boot_id and pid are of the program that does it, job is the job that it does it for, since is in
    seconds of the epoch by its node's clock.
    """

    host: str
    boot_id: str
    pid: int
    job: str
    since: int


class Cut(NamedTuple):
    """A stream whose file still holds the job's output, to be cut to its size at the freeze.

    tail names the file in the lineage's tails/ that keeps what was behind that.
    """

    name: str
    size: int
    tail: str


class FileChange(NamedTuple):
    """A file of the job's that a restart brings back to what it was at the freeze.

    Its first `keep` bytes stay; what was behind them goes to `tail` in tails/, and is replaced by
    the file `copy` of copies/ ("" for nothing).  present: it is there now, with this device, inode,
    size and mode, and time of change; wanted: it is to be there afterwards.
    """

    path: str
    present: bool
    device: int
    inode: int
    size: int
    mode: int
    mtime_ns: int
    wanted: bool
    keep: int
    copy: str
    wanted_mtime_ns: int
    tail: str


class Leftover(NamedTuple):
    """A name that was not there before a restart, and that its restore may leave if that fails.

    beside: the name that it is told by, mode and mtime_us: what it has where that is gone
    (files/leftovers.py).
    """

    path: str
    kind: str
    beside: str
    mode: int
    mtime_us: int


class Intent(NamedTuple):
    """What a restart changes before the job runs again, so that it can be undone.

    A new stream had its `base` as size before the job's earlier output was put into it; one in
    `cuts` was longer than it is now.  directories are made for files that are gone; places are
    made again, with their modes.  edited names the files of the image that are replaced by those
    in edited/.  leftovers go when it fails.
    """

    attempt: str
    job: str
    generation: int
    streams: tuple[LiveStream, ...]
    cuts: tuple[Cut, ...] = ()
    files: tuple[FileChange, ...] = ()
    directories: tuple[str, ...] = ()
    edited: tuple[str, ...] = ()
    places: tuple[Place, ...] = ()
    leftovers: tuple[Leftover, ...] = ()
