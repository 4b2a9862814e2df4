# SPDX-License-Identifier: MIT
"""What a checkpointer is: it builds argv and reads text and images; it runs nothing."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from torqueckpt.findings import Finding
from torqueckpt.manifest import Build, Manifest, OpenFile, Process
from torqueckpt.process.resources import Holdings


class Dump(NamedTuple):
    """Dump the tree of exec_pid into image_dir; stopped: leave it stopped instead of running."""

    exec_pid: int
    image_dir: Path
    work_dir: Path
    stopped: bool
    established_tcp: bool
    at_freeze: Path | None = None  # called while the tree stands still (process/freeze.py)
    before: Path | None = None  # beside image_dir: what a pre-dump of this tree has written


class Restore(NamedTuple):
    """Restore an image as a sibling of the checkpointer, that is, as the caller's own child, or
    below a checkpointer that stays.

    inherited pairs an open descriptor with the path that the image knows its file by.  streamed:
    the image's files are asked for at a socket in image_dir.  at_freeze: called while the restored
    tree stands still; the restore fails, and ends the tree, when that does.
    """

    image_dir: Path
    work_dir: Path
    established_tcp: bool
    inherited: tuple[tuple[int, str], ...]
    directory: str = "/"
    relocated: tuple[tuple[str, str], ...] = ()  # (path in the image, path now) of the same files
    streamed: bool = False
    at_freeze: Path | None = None


class ImageFacts(NamedTuple):
    """What an image says of the moment of the freeze."""

    processes: tuple[Process, ...]
    files: tuple[OpenFile, ...]
    frozen_us: int
    builds: tuple[Build, ...] = ()


class Memory(NamedTuple):
    """Memory of one process under one name; bytes that it has mapped, and that the image holds."""

    pid: int
    name: str
    size: int
    saved: int


class Opened(NamedTuple):
    """What a process has open beside files: kind as in "TCP socket", what as in a name or state."""

    pid: int
    fd: int
    kind: str
    what: str


class ImageDetails(NamedTuple):
    """What `torqueckpt show` tells beside the manifest; empty where a checkpointer cannot tell.

    environment: NAME=VALUE of the root process, as it was started.
    """

    cpu: str = ""
    memory: tuple[Memory, ...] = ()
    opened: tuple[Opened, ...] = ()
    environment: tuple[str, ...] = ()


class Stream(ABC):
    """What is said at the socket where a restore asks for an image's files, one after the other.

    Each request is answered; for a file that is there, the descriptor to write it to comes then.
    """

    socket_name: str

    @abstractmethod
    def asked(self, read: Callable[[int], bytes]) -> str:
        """The name in the next request, "" at the end; `read` gives so many bytes, or fewer at the
        end.  ValueError when it is no request."""

    @abstractmethod
    def answer(self, there: bool) -> bytes: ...


class Checkpointer(ABC):
    """One program that dumps and restores process trees."""

    name: str
    program: Path
    needs_kernel: tuple[int, int] = (0, 0)
    needs_version: tuple[int, ...] = ()
    links_to_repair: tuple[str, ...] = ()  # repair() is called when the tree has one of these open
    # Whether a dump calls Dump.at_freeze and honours Dump.stopped, and its image can be read.  One
    # of the others leaves the tree running: where stands_still() has told of no better moment, it
    # is stopped right behind the dump, and looked at then.
    has_freeze_hook: bool = True
    # Whether a restore calls Restore.at_freeze.
    can_hold_restored: bool = False
    # Whether it connects the job's processes to a program of its own, outside of the job.
    holds_connections: bool = False
    # Whether the restore program stays as the job's parent and ends with its status, as those do
    # that cannot make the job our own child.
    stays_as_parent: bool = False

    @abstractmethod
    def version_argv(self) -> list[str]:
        """Empty for a program that tells none: it is only looked whether it is there."""

    def check_argv(self) -> list[str]:
        """A check that it makes of the kernel, run as a job's owner; empty when it has none."""
        return []

    def version(self, output: str) -> str:
        """The version in the output of version_argv(); "" when it is not there."""
        found = re.search(r"[0-9]+(?:\.[0-9]+)+", output)
        return found.group() if found else ""

    def capabilities(self, established_tcp: bool) -> tuple[str, ...]:
        """The ambient capabilities that it needs when it runs as the job's owner."""
        return ()

    def launch_argv(self, argv: list[str]) -> list[str]:
        """What a program must be started with for this checkpointer to be able to dump it;
        CheckpointerMissing."""
        return argv

    def own_directories(self, root_pid: int, image_dir: Path) -> tuple[str, ...]:
        """Where files lie that a job has open for the checkpointer's sake, not for its own."""
        return ()

    def before_dump(self, dump: Dump) -> None:
        """Make ready what the dump needs.  Whatever touches files here runs as the owner."""
        return

    def stands_still(self, dump: Dump) -> bool:
        """Whether the tree stands still for its dump right now, as its files tell; asked often."""
        return False

    def after_dump(self, dump: Dump) -> None:
        """Bring the image to where it belongs, from a checkpointer that writes it elsewhere."""
        return

    def before_restore(self, restore: Restore) -> None:
        """Take away what an earlier restore has left."""
        return

    @abstractmethod
    def dump_argv(self, dump: Dump) -> list[str]: ...

    @abstractmethod
    def restore_argv(self, restore: Restore) -> list[str]: ...

    def findings(self, held: Holdings) -> list[Finding]:
        """What of a tree's holdings it cannot save, or does not save as it was."""
        return []

    @abstractmethod
    def incomplete(self, dump: Dump) -> str:
        """Why a dump that ended with 0 is no image after all; "" when it is one."""

    @abstractmethod
    def reason(self, work_dir: Path, verb: str) -> str:
        """One line on why `verb` ("dump" or "restore") failed, from its log."""

    def passes_seconds(self, reason: str, pid_wait_seconds: int) -> int:
        """How long what made a restore fail may last, such as a pid in use; 0 when it is for good.

        It is tried again for that long.
        """
        return 0

    def numbers(self, manifest: Manifest) -> tuple[int, ...]:
        """The numbers of processes and threads that a restore must be able to give out again."""
        return ()

    def decides_rights(self, name: str) -> bool:
        """Whether the image file `name` says what rights a process gets: one that does is restored
        from a copy that its owner cannot change, once excessive_rights() had nothing to say."""
        return False

    def excessive_rights(self, data: bytes) -> str:
        """What such a file asks for that no job has; "" for nothing."""
        return ""

    def left_out(self, name: str) -> bool:
        """Whether a restore must not see this file at all."""
        return False

    def is_memory(self, name: str) -> bool:
        """Whether this image file, compressed or not, holds memory and nothing else: a restore does
        not interpret what is in it."""
        return False

    def packs(self, name: str) -> bool:
        """Whether this image file, a large one, may be compressed: the checkpointer restores from
        a stream (Restore.streamed, stream())."""
        return False

    def stream(self) -> Stream:
        """How a restore asks for the files of an image that has some which are compressed."""
        raise NotImplementedError(self.name)

    def pre_dump_checks(self) -> list[list[str]]:
        """Checks, run as a job's owner, that all end with 0 where memory can be dumped while the
        tree runs, and at its dump only what has changed since; empty for one that never can."""
        return []

    def pre_dump_argv(self, dump: Dump) -> list[str]:
        """Dump the tree's memory alone into dump.before, with what is said of it; it runs on."""
        raise NotImplementedError(self.name)

    def merge(self, image_dir: Path, before: Path) -> int:
        """Bring into the image what of the pre-dump it refers to, so that it stands alone; gives
        for how many microseconds the tree stood still at the pre-dump.  ValueError, OSError."""
        raise NotImplementedError(self.name)

    def repair(self, image_dir: Path) -> int:
        """Put right what is known to be saved wrongly, before the image is sealed; how many."""
        return 0

    def edited_files(
        self, image_dir: Path, name_now: Callable[[str], str], positions: Mapping[str, int]
    ) -> dict[str, bytes]:
        """Image files, name → content, for a job whose files have other names now, or are of
        another size: positions are the offsets to go on at there, negative for the recorded.
        ValueError from a checkpointer whose images cannot be changed."""
        raise ValueError(f"{self.name} cannot change its images")

    def image_reader(self) -> Callable[[Path, Path], ImageFacts]:
        """What reads a finished image, given its directory and that of its dump's scratch files, of
        a checkpointer that tells; asked for while the tree still runs."""
        raise NotImplementedError(self.name)

    def details(self, image_dir: Path, root_pid: int, environment: bool) -> ImageDetails:
        """What else an image says, for people, its root's environment on request; called as its
        owner."""
        return ImageDetails()

    def restored_root(self, program_pid: int, exec_pid: int) -> int:
        """The job's root process as long as a restore program that stays runs."""
        return exec_pid

    def settled(self, restore: Restore, ask: Callable[[list[str]], str]) -> bool:
        """Whether all processes are restored, where the root's name does not tell it.

        `ask` runs argv as the owner and gives what it prints.
        """
        return True

    def is_itself(self, name: str, name_in_image: str) -> bool:
        """Whether the root, by its present name, is the job's again and no more being restored."""
        return name == name_in_image
