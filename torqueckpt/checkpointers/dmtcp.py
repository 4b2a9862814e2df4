# SPDX-License-Identifier: MIT
"""DMTCP: dmtcp_launch, dmtcp_command and dmtcp_restart (measured on its master of July 2026).

A program must have been started with dmtcp_launch: mom-run sees to that.  Each job has its own
coordinator, on a port that the system gives it.

The directory that the images are written to is settled at a launch or a restart, long before there
is a generation.  It is dmtcp/ in the lineage, where the port is kept too; a launch, which knows no
lineage yet, has a directory of its own that leads there from the first dump on.
"""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from torqueckpt.checkpointers.base import Checkpointer, Dump, Restore
from torqueckpt.errors import CheckpointerMissing
from torqueckpt.findings import REFUSED, Finding
from torqueckpt.process import proc
from torqueckpt.process.resources import Holdings, finding
from torqueckpt.safe_files import Directory
from torqueckpt.settings import Settings

_DIRECTORY = "DMTCP_CHECKPOINT_DIR"  # dmtcp_launch sets it for the program
_SCRIPT = "dmtcp_restart_script.sh"  # a link to what is written when all images of a dump are
_IMAGE = re.compile(r"\bckpt_[^\s/\"'\0]+\.dmtcp\b")
# Beside an image, what its process had open and removed, or shared: a directory, which in a
# generation, where there are none, is a part of the name.
_FILES, _BELOW = "_files", "%"
_WRITING = re.compile(r"\.dmtcp\.temp$")
# Otherwise each process leaves an empty log, and what DMTCP warns of lands in the job's stderr.
_QUIET = ("DMTCP_LOG_FILE=/dev/null", "DMTCP_LOG_LEVEL=error")
_RESTORING = ("dmtcp_restart", "mtcp_restart", "setpriv", "env")


class Dmtcp(Checkpointer):
    """dmtcp_restart becomes the job's root itself, under another pid than before."""

    name = "dmtcp"
    needs_version = (3, 0)
    has_freeze_hook = False
    stays_as_parent = True
    holds_connections = True  # to the coordinator

    def __init__(self, settings: Settings) -> None:
        self._tools = settings.dmtcp_dir
        self.program = self._tools / "dmtcp_command"
        self._gzip = settings.dmtcp_gzip

    def version_argv(self) -> list[str]:
        return [str(self.program), "--version"]

    def launch_argv(self, argv: list[str]) -> list[str]:
        launch = self._tools / "dmtcp_launch"
        if not os.access(launch, os.X_OK):  # env would be too late to tell
            raise CheckpointerMissing(name=self.name, program=launch)
        place = Path(tempfile.mkdtemp(prefix="torqueckpt-dmtcp."))
        return [
            *self._with_quiet("dmtcp_launch", str(place)),
            *("--port-file", str(place / "port"), "--ckptdir", str(place / "images")),
            *("--tmpdir", str(place), "--gzip" if self._gzip else "--no-gzip"),
            *argv,
        ]

    def own_directories(self, root_pid: int, image_dir: Path) -> tuple[str, ...]:
        launched = proc.environment(root_pid).get(_DIRECTORY)
        places = [_place_of(image_dir), *([Path(launched).parent] if launched else [])]
        return tuple(f"{os.path.realpath(place)}/" for place in places)

    def before_dump(self, dump: Dump) -> None:
        with _place(dump.image_dir) as place:
            launched = proc.environment(dump.exec_pid).get(_DIRECTORY, "")
            if launched:
                _lead_to(place, Path(launched))
            _clear(place)

    def dump_argv(self, dump: Dump) -> list[str]:
        with _place(dump.image_dir) as place:
            return [str(self.program), "--coord-port", _port(place), "--bcheckpoint"]

    def stands_still(self, dump: Dump) -> bool:
        """Whether all images are being written: nobody runs on before the last is complete."""
        with _place(dump.image_dir) as place:
            names = place.names()
        return any(map(_WRITING.search, names)) and not any(map(_IMAGE.fullmatch, names))

    def after_dump(self, dump: Dump) -> None:
        with _place(dump.image_dir) as place, Directory.open(dump.image_dir) as image:
            for name in _written(place):
                _move(place, name, image, name)
                files = name.replace(".dmtcp", _FILES)
                if place.has(files):
                    with place.sub(files) as beside:
                        for file in beside.names():
                            _move(beside, file, image, f"{files}{_BELOW}{file}")
            _clear(place)

    def before_restore(self, restore: Restore) -> None:
        with _place(restore.image_dir) as place:
            place.remove("port")
            _clear(place)
            for file in restore.image_dir.glob(f"ckpt_*{_FILES}{_BELOW}*"):
                directory, _, name = file.name.partition(f"{_FILES}{_BELOW}")
                with place.make(f"{directory}{_FILES}") as beside:
                    beside.point(name, str(file))

    def restore_argv(self, restore: Restore) -> list[str]:
        place = _place_of(restore.image_dir)
        there = ("--chdir", restore.directory, f"{_DIRECTORY}={place}")  # for the coordinator too
        return [
            *self._with_quiet("dmtcp_restart", str(place), *there),
            *("--port-file", str(place / "port"), "--ckptdir", str(place), "--tmpdir", str(place)),
            *map(str, sorted(restore.image_dir.glob("ckpt_*.dmtcp"))),
        ]

    def settled(self, restore: Restore, ask: Callable[[list[str]], str]) -> bool:
        try:
            with _place(restore.image_dir) as place:
                port = _port(place)
        except FileNotFoundError:
            return False
        return "RUNNING=yes" in ask([str(self.program), "--coord-port", port, "--status"])

    def findings(self, held: Holdings) -> list[Finding]:
        return [*_not_launched(held), *_directories(held)]

    def incomplete(self, dump: Dump) -> str:
        return "" if any(dump.image_dir.iterdir()) else "dmtcp_command left no image"

    def reason(self, work_dir: Path, verb: str) -> str:
        return ""

    def restored_root(self, program_pid: int, exec_pid: int) -> int:
        return program_pid

    def is_itself(self, name: str, name_in_image: str) -> bool:
        return name not in _RESTORING

    def _with_quiet(self, tool: str, temporary: str, *options: str) -> list[str]:
        return [
            *("/usr/bin/env", *options, *_QUIET, f"DMTCP_TMPDIR={temporary}"),
            *(str(self._tools / tool), "--quiet", "--quiet", "--new-coordinator"),
            *("--coord-port", "0"),
        ]


def _place_of(image_dir: Path) -> Path:
    return image_dir.parent.parent / "dmtcp"


def _place(image_dir: Path) -> Directory:
    place = _place_of(image_dir)
    with Directory.open(place.parent) as lineage:
        return lineage.make(place.name)


def _port(place: Directory) -> str:
    """The port of the job's coordinator; FileNotFoundError when it is not known."""
    port = place.read("port").decode("ascii", "replace").strip()
    if not port.isdecimal():  # being written
        raise FileNotFoundError(errno.ENOENT, "no port of a coordinator", f"{place.path}/port")
    return port


def _lead_to(place: Directory, launched: Path) -> None:
    """Move what a launch has set up into the lineage, at the first dump, and leave links to it."""
    launched.parent.mkdir(mode=0o700, exist_ok=True)  # a long job's may have been tidied away
    with Directory.open(launched.parent.resolve(strict=True)) as parent:
        status = os.fstat(parent.fd)
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise PermissionError(errno.EPERM, "not the job's own any more", str(parent.path))
        if parent.target(launched.name) is None:
            if parent.has(launched.name):  # the user has had it dumped himself
                parent.rename(launched.name, "before")
            parent.point(launched.name, str(place.path))
        if parent.has("port"):
            place.write_whole("port", parent.read("port"))
            parent.remove("port")


def _written(place: Directory) -> list[str]:
    """The image files of a dump that was completed."""
    script = place.target(_SCRIPT)
    text = place.read(script).decode("utf-8", "replace") if script is not None else ""
    return sorted(set(_IMAGE.findall(text)))


def _move(source: Directory, name: str, to: Directory, new: str) -> None:
    os.rename(name, new, src_dir_fd=source.fd, dst_dir_fd=to.fd)


def _clear(place: Directory) -> None:
    """Remove images of failed dumps and of ended processes, and scripts that lead to them."""
    for name in place.names():
        if name.startswith(("ckpt_", "dmtcp_restart_script")):
            place.remove_tree(name)


def _not_launched(held: Holdings) -> Iterator[Finding]:
    root = next(iter(held.tree.values()))
    restored = root.name.startswith("DMTCP:")  # and shows no environment any more
    if not restored and _DIRECTORY not in proc.environment(root.pid):
        what = "DMTCP saves only what was started with dmtcp_launch"
        remedy = "have $checkpoint_run_exe name mom-run, and submit the job with -c"
        yield finding(REFUSED, root, "its start", what, remedy)


def _directories(held: Holdings) -> Iterator[Finding]:
    """The working directories to restore: dmtcp_restart alone brings all processes back in its own.

    It tries the way from where a process was started to where it was, from there, if there is one.
    """
    root, *others = held.tree.values()
    common = proc.cwd(root.pid)
    for each in others:
        if proc.cwd(each.pid) not in ("", common):
            what = f"its working directory is not {common}, and DMTCP restores all in one"
            yield finding(REFUSED, each, proc.cwd(each.pid), what, "start it from the job's own")
    parts = Path(common).parts
    for start in range(2, len(parts)):
        again = os.path.join(common, *parts[start:])
        if os.path.isdir(again):
            what = f"DMTCP may restore the job there instead of in {common}"
            yield finding(REFUSED, root, again, what, "rename that directory, or work in another")
