# SPDX-License-Identifier: MIT
"""The interface of a checkpointer: it builds argv, reads text and images, and runs nothing.

registry.py has the table of those that there are.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from torqueckpt.findings import Finding
from torqueckpt.manifest import Build, Ceiling, Made, Manifest, Needs, OpenFile, Process
from torqueckpt.process.other_names import OtherName
from torqueckpt.process.resources import Holdings


class Dump(NamedTuple):
    """The request for a dump of exec_pid's tree into image_dir; stopped: it is left stopped."""

    exec_pid: int
    image_dir: Path
    work_dir: Path
    stopped: bool
    established_tcp: bool
    at_freeze: Path | None = None  # called while the tree stands still (process/freeze.py)
    before: Path | None = None  # beside image_dir: what a pre-dump of this tree has written
    other_names: tuple[OtherName, ...] = ()  # of files whose opened name is gone


class Restore(NamedTuple):
    """Restore an image as the caller's own child, or below a restore program that stays.

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


class Unreachable(NamedTuple):
    """A file that a restore would not find now as the job had it, and why."""

    path: str
    why: str


class ImageFacts(NamedTuple):
    """What an image says of the job at the freeze; doubts: why it would not come back."""

    processes: tuple[Process, ...]
    files: tuple[OpenFile, ...]
    frozen_us: int
    builds: tuple[Build, ...] = ()
    needs: Needs = Needs()
    doubts: tuple[str, ...] = ()
    made: tuple[Made, ...] = ()
    unreachable: tuple[Unreachable, ...] = ()


class Memory(NamedTuple):
    """One process's memory of one name: bytes mapped, and bytes that the image holds."""

    pid: int
    name: str
    size: int
    saved: int


class Opened(NamedTuple):
    """A descriptor that is no file: kind as in "TCP socket", what as in its name or state."""

    pid: int
    fd: int
    kind: str
    what: str


class ImageDetails(NamedTuple):
    """What `torqueckpt show` prints that is not in the manifest; empty where it cannot be read.

    environment: NAME=VALUE of the root process, as it was started.
    """

    cpu: str = ""
    memory: tuple[Memory, ...] = ()
    opened: tuple[Opened, ...] = ()
    environment: tuple[str, ...] = ()


class Stream(ABC):
    """The protocol of a socket at which a restore asks for an image's files, one after the other.

    Each request is answered; for a file that is there, the descriptor to write it to comes then.
    """

    socket_name: str

    @abstractmethod
    def asked(self, read: Callable[[int], bytes]) -> str:
        """The name in the next request, "" at the end.  ValueError when it is no request.

        `read` gives so many bytes, or fewer at the end.
        """

    @abstractmethod
    def answer(self, there: bool) -> bytes: ...


class Checkpointer(ABC):
    """One program that dumps and restores process trees."""

    name: str
    program: Path
    needs_kernel: tuple[int, int] = (0, 0)
    needs_version: tuple[int, ...] = ()
    # repair() is called when the tree has something open that begins so, or Dump.other_names.
    links_to_repair: tuple[str, ...] = ()
    # Its dump runs Dump.at_freeze while the tree is frozen, obeys Dump.stopped, and leaves an image
    # that can be read.  After a dump without this hook the tree runs on: its files are looked at
    # when stands_still() says that it is frozen, else it is stopped right after the dump for that.
    has_freeze_hook: bool = True
    # Its dump needs no setuid program, and no system call of rights/seccomp.py's list.
    dumps_held = False
    # Its restore runs Restore.at_freeze, which can hold the restored tree until it is verified.
    can_hold_restored: bool = False
    # It loads this, and root's process saves and restores its connections (rights/tcp_repair.py).
    tcp_library: Path | None = None
    # A dump loads this too, where it is (criu-plugin/continue-calls.c, terminals.c).
    dump_library: Path | None = None
    # A restore loads this too, where it is (criu-plugin/detach.c, attributes.c, orphans.c, …).
    restore_library: Path | None = None
    # It keeps the job's processes connected to a program of its own, outside of the job.
    holds_connections: bool = False
    # Its restore program stays as the job's parent and ends with the job's status, since it cannot
    # make the job our own child.
    stays_as_parent: bool = False

    @abstractmethod
    def version_argv(self) -> list[str]:
        """argv that prints the version; empty for a program that has none: its presence will do."""

    def check_argv(self) -> list[str]:
        """argv of its own check of the kernel, run as a job's owner; empty when it has none."""
        return []

    def version(self, output: str) -> str:
        """Find the version in the output of version_argv(); "" when it is not there."""
        found = re.search(r"[0-9]+(?:\.[0-9]+)+", output)
        return found.group() if found else ""

    def refused_here(self) -> str:
        """Why it can do nothing on this node as it is set, and what to do; "" when it can."""
        return ""

    def lacks(self, established_tcp: bool) -> str:
        """What it needs for this and the node lacks, with the remedy; "" for nothing."""
        return ""

    def capabilities(self, established_tcp: bool) -> tuple[str, ...]:
        """The ambient capabilities that it needs when it runs as the job's owner."""
        return ()

    def launch_argv(self, argv: list[str]) -> list[str]:
        """argv that starts a program so that it can be dumped; CheckpointerMissing."""
        return argv

    def own_directories(self, root_pid: int, image_dir: Path) -> tuple[str, ...]:
        """Directories whose files a job has open for the checkpointer's sake, not for its own."""
        return ()

    def before_dump(self, dump: Dump) -> None:
        """Prepare what the dump needs.  All that touches files here runs as the owner."""
        return

    def stands_still(self, dump: Dump) -> bool:
        """Whether the checkpointer's files show that the tree is frozen right now; asked often."""
        return False

    def after_dump(self, dump: Dump) -> None:
        """Move the image to image_dir, for a checkpointer that writes it elsewhere."""
        return

    def before_restore(self, restore: Restore) -> None:
        """Remove what an earlier restore has left."""
        return

    @abstractmethod
    def dump_argv(self, dump: Dump) -> list[str]: ...

    @abstractmethod
    def restore_argv(self, restore: Restore) -> list[str]: ...

    def preloaded(self, library: Path | None, tcp: bool) -> dict[str, str]:
        """The environment in which it loads a library, where that is, and that for connections."""
        wanted = (library, self.tcp_library if tcp else None)
        found = [str(each) for each in wanted if each is not None and each.is_file()]
        return {"LD_PRELOAD": ":".join(found)} if found else {}

    def findings(self, held: Holdings) -> list[Finding]:
        """What a tree holds that it cannot save, or does not save as it was."""
        return []

    def refuses_itself(self, found: Finding) -> bool:
        """Whether a dump fails, and harms nothing, if what this tells of is there at the freeze."""
        return False

    def is_of_a_moment(self, reason: str, again: bool) -> bool:
        """Whether a dump that failed for this reason may succeed when it is repeated at once.

        again: it is the reason of the dump before, too.
        """
        return False

    @abstractmethod
    def incomplete(self, dump: Dump) -> str:
        """Why a dump that ended with 0 has made no image after all; "" when it has."""

    @abstractmethod
    def reason(self, work_dir: Path, verb: str) -> str:
        """Why `verb` ("dump" or "restore") failed, in one line, from its log."""

    def passes_seconds(self, reason: str, pid_wait_seconds: int) -> int:
        """Seconds that a failed restore's reason may last, as a pid in use does; 0: for good.

        The restore is tried again for that long.
        """
        return 0

    def highest_descriptor(self, hard_limit: int) -> int:
        """The highest number that a restored process can have open under that limit."""
        return hard_limit

    def numbers(self, manifest: Manifest) -> tuple[int, ...]:
        """The process and thread numbers that must be free for a restore."""
        return ()

    def decides_rights(self, name: str) -> bool:
        """Whether the image file `name` decides what rights a restored process gets.

        One that does is restored from a copy that its owner cannot change: checked_rights().
        """
        return False

    def checked_rights(self, data: bytes, ceiling: Ceiling | None) -> bytes:
        """What the copy of such a file holds, read strictly.

        ValueError for one that would give a process more than its job had, or more than any job has
        where no ceiling was recorded.
        """
        return data

    def limited_rights(self, data: bytes, hard_limits: Sequence[int]) -> bytes:
        """Such a file, once it was checked, with no higher hard limits than who restarts it has."""
        return data

    def left_out(self, name: str) -> bool:
        """Whether this file of an image must not be there at a restore."""
        return False

    def is_memory(self, name: str) -> bool:
        """Whether this image file, compressed or not, holds memory and nothing else.

        A restore does not interpret what is in it.
        """
        return False

    def packs(self, name: str) -> bool:
        """Whether this image file, a large one, may be compressed.

        The checkpointer restores from a stream (Restore.streamed, stream()).
        """
        return False

    def stream(self) -> Stream:
        """The protocol in which a restore asks for the files of a compressed image."""
        raise NotImplementedError(self.name)

    def pre_dump_checks(self) -> list[list[str]]:
        """Commands that all end with 0 where memory can be dumped while the tree runs.

        None when it never can.  They are run as a job's owner.  The dump that follows has only what
        has changed since.
        """
        return []

    def pre_dump_argv(self, dump: Dump) -> list[str]:
        """argv that dumps a tree's memory and its map into dump.before; the tree runs on."""
        raise NotImplementedError(self.name)

    def merge(self, image_dir: Path, before: Path) -> int:
        """Merge a pre-dump into its image, so that the image stands alone.  ValueError, OSError.

        Gives for how many microseconds the tree stood still at the pre-dump.
        """
        raise NotImplementedError(self.name)

    def repair(self, dump: Dump) -> list[str]:
        """Repair, before the image is sealed, what is saved wrongly; gives what, in words."""
        return []

    def edited_files(
        self,
        image_dir: Path,
        name_now: Callable[[str], str],
        positions: Mapping[str, int],
        terminals: Mapping[int, int],
    ) -> dict[str, bytes]:
        """Image files, name → content, for a job whose files have other names or sizes now.

        positions are the offsets to go on at there, negative for the recorded; terminals the
        numbers of pseudo terminals, by the recorded ones.  ValueError from a checkpointer whose
        images cannot be changed.
        """
        raise ValueError(f"{self.name} cannot change its images")

    def image_reader(self) -> Callable[[Path, Path], ImageFacts]:
        """A function that reads an image, given its directory and the dump's scratch directory.

        Asked for while the tree still runs, of a checkpointer with a freeze hook.
        """
        raise NotImplementedError(self.name)

    def details(self, image_dir: Path, root_pid: int, environment: bool) -> ImageDetails:
        """What `torqueckpt show` prints of an image; called as its owner.

        environment: with the root process's.
        """
        return ImageDetails()

    def restored_root(self, program_pid: int, exec_pid: int) -> int:
        """The pid of the job's root process, below a restore program that stays as its parent."""
        return exec_pid

    def settled(self, restore: Restore, ask: Callable[[list[str]], str]) -> bool:
        """Whether all processes are restored, where the root's name alone does not show it.

        `ask` runs argv as the owner and gives what it prints.
        """
        return True

    def is_itself(self, name: str, name_in_image: str) -> bool:
        """Whether the root has its job's name again, so that it is restored."""
        return name == name_in_image
