# SPDX-License-Identifier: MIT
"""Taking a program that holds a resource through checkpoint, crash, boot and restart."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import stat
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.boot import boot
from tests.job.kinds.kind import NOT_HERE, Kind
from tests.support import INSTALLED, Running, Site, User, wait_until
from torqueckpt import run
from torqueckpt.checkpointers import registry
from torqueckpt.checkpointers.base import Dump
from torqueckpt.process import privileges
from torqueckpt.settings import Settings

_SOCKETS = {
    "stream": (socket.AF_UNIX, socket.SOCK_STREAM),
    "dgram": (socket.AF_UNIX, socket.SOCK_DGRAM),
    "relative": (socket.AF_UNIX, socket.SOCK_DGRAM),
    "abstract": (socket.AF_UNIX, socket.SOCK_DGRAM),
    "tcp": (socket.AF_INET, socket.SOCK_STREAM),
}
_FUSE = os.makedev(10, 229)  # a device that each Linux has, and CRIU does not know


@dataclass(frozen=True)
class Outcome:
    """What became of it: why it was refused ("" when not), whether CRIU alone would have dumped
    what was refused, the image's log, its end."""

    refusal: str
    dumped: bool
    log: str
    status: int
    out: str
    err: str


def outcome(site: Site, user: User, kind: Kind) -> Outcome:
    """Dump the job and let it run on; its node crashes and is booted; resume it to its end.

    A job whose checkpoint is refused goes on.
    """
    directory = user.directory()
    with _outside(kind.outside, directory, user):
        script = user.script(kind.program(), directory)
        running = site.start(user, script, "-c", "enabled")
        try:
            wait_until(lambda: "held\n" in running.spooled() or running.process.poll() is not None)
            if running.process.poll() is not None:
                assert running.out().startswith(NOT_HERE), running.err()
                return Outcome("", False, "", 0, running.out(), "")
            asked = subprocess.run(running.hook_argv(name="one"), capture_output=True, text=True)
            refusal, dumped, log = asked.stderr if asked.returncode else "", False, ""
            if refusal:
                dumped = _criu_dumps(running, user)
            else:
                log = (site.lineage(running.job) / "1" / "log").read_text()
                running.crash()
                if not kind.unwiped:
                    boot(user)
            (directory / "go").touch()  # a restored one goes on at once
            if not refusal:
                running = site.resume(user, running.job, directory)
            status = running.wait()
            return Outcome(refusal, dumped, log, status, running.out(), running.err())
        finally:
            running.process.terminate()
            running.process.wait()


def _criu_dumps(running: Running, user: User) -> bool:
    """Whether CRIU, asked without looking first, dumps the tree."""
    criu = registry.load("criu", Settings(criu_path=INSTALLED / "criu" / "criu"))
    dump = Dump(running.exec_pid(), user.directory(), user.directory(), False, False)
    owner = privileges.owner(user.name)
    argv = privileges.as_owner_argv(owner, criu.capabilities(False), criu.dump_argv(dump))
    environment = {"XDG_RUNTIME_DIR": str(dump.work_dir)}
    return run.run(argv, timeout_seconds=60, environment=environment).ok


@contextmanager
def _outside(what: str, directory: Path, user: User) -> Iterator[None]:
    """What the program finds that is not its own."""
    if what in _SOCKETS:
        with _peer(what, directory):
            yield
    elif what == "terminal":
        master, slave = os.openpty()
        os.fchown(slave, user.uid, user.gid)
        (directory / "terminal").write_text(os.ttyname(slave))
        yield
        os.close(master)
        os.close(slave)
    elif what == "far":
        with tempfile.TemporaryDirectory(dir="/var/lib") as closed:
            os.chmod(closed, 0o711)  # what is in it nobody but root can list
            far = Path(closed, "far")
            far.mkdir()
            (directory / "far").write_text(str(far))
            yield
    elif what == "device":
        device = Path(f"/dev/nvidia-{secrets.token_hex(4)}")
        os.mknod(device, stat.S_IFCHR | 0o600, _FUSE)
        try:
            os.chown(device, user.uid, user.gid)
            (directory / "device").write_text(str(device))
            yield
        finally:
            device.unlink()
    else:
        if what == "program":
            shutil.copy("/usr/bin/sleep", directory / "program")
            os.chmod(directory / "program", 0o711)
        yield


@contextmanager
def _peer(what: str, directory: Path) -> Iterator[None]:
    """A socket of a process outside; a stream's accepts one connection."""
    path = str(directory / "outside")
    names = {
        "tcp": ("127.0.0.1", 0),
        "abstract": f"\0{directory}",
        "relative": os.path.relpath(path),
    }
    with socket.socket(*_SOCKETS[what]) as ear:
        ear.bind(names.get(what, path))
        if what == "tcp":
            (directory / "port").write_text(str(ear.getsockname()[1]))
        elif what != "abstract":
            os.chmod(path, 0o666)
        accepted: list[socket.socket] = []
        if ear.type == socket.SOCK_STREAM:
            ear.listen()
            accept = threading.Thread(target=lambda: accepted.append(ear.accept()[0]), daemon=True)
            accept.start()
        try:
            yield
        finally:
            for each in accepted:
                each.close()
