# SPDX-License-Identifier: MIT
"""A place of its own for a batch system: processes, network, mounts and a host name.

Its first process holds it.  When that ends, at the end of the tests or because these have died,
the kernel ends all processes in there, and mounts and addresses are gone with them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support import LIMIT_SECONDS, User, wait_until

ADDRESS = "10.99.0.1"  # OpenPBS takes no address of the loopback network for a host
_PROGRAMS = ("unshare", "nsenter", "setpriv", "mount", "ip")
_ENVIRONMENT = {"LANG": "C.UTF-8", "HOME": "/root", "USER": "root", "LOGNAME": "root"}
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# What init must do, and no more: take what daemons leave, and end when the tests do.
_INIT = """
import os, signal
def reap(*_):
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return
signal.signal(signal.SIGCHLD, reap)
print("ready", flush=True)
os.read(0, 1)
"""


def missing() -> str:
    """The program that is missing on this machine, "" if none is."""
    return next((name for name in _PROGRAMS if shutil.which(name) is None), "")


class Namespaces:
    """root is a directory on this machine for what is mounted in there."""

    def __init__(self, host: str, address: str = ADDRESS) -> None:
        self.host, self.address = host, address
        self.path = _PATH
        self.root = Path(tempfile.mkdtemp(prefix="tckpt-", dir="/var/tmp"))
        self.root.chmod(0o755)
        kinds = ["--mount", "--net", "--pid", "--uts", "--mount-proc", "--fork", "--kill-child"]
        self._holder = subprocess.Popen(
            ["unshare", *kinds, "--", sys.executable, "-I", "-c", _INIT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n", "no namespaces"
        children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children")
        self.init = int(children.read_text())
        self.check("mount", "--make-rprivate", "/")
        self.check("hostname", host)
        self.check("ip", "link", "set", "lo", "up")
        self.check("ip", "address", "add", f"{address}/32", "dev", "lo")
        hosts = f"127.0.0.1 localhost\n{address} {host}\n127.0.0.9 spare\n"
        self.put("/etc/hosts", hosts)
        self._own_run()

    def _own_run(self) -> None:
        """What programs leave there has their process numbers, which mean nothing elsewhere: a
        restore of other tests would sweep away what one in here is using."""
        own = self.root / "machine-run"
        own.mkdir()
        for entry in os.scandir("/run"):
            if entry.is_dir(follow_symlinks=False):
                (own / entry.name).mkdir()
                status = entry.stat()
                os.chown(own / entry.name, status.st_uid, status.st_gid)
                (own / entry.name).chmod(status.st_mode & 0o7777)
        self.bind(own, "/run")

    def connect(self, other: Namespaces) -> None:
        """A cable to another one; each knows the other's name."""
        enter = ["nsenter", f"--target={self.init}", "--net"]
        cable = ["type", "veth", "peer", "name", f"to-{self.host}", "netns", str(other.init)]
        subprocess.run([*enter, "ip", "link", "add", f"to-{other.host}", *cable], check=True)
        for here, there in ((self, other), (other, self)):
            device = f"to-{there.host}"
            here.check("ip", "link", "set", device, "up")
            here.check("ip", "route", "add", there.address, "dev", device, "src", here.address)
            hosts = here.root / "hosts"
            hosts.write_text(f"{hosts.read_text()}{there.address} {there.host}\n")

    def put(self, path: str | Path, text: str) -> None:
        """A file of its own in there, over one that is there on this machine."""
        own = self.root / Path(path).name
        own.write_text(text)
        self.bind(own, path)

    def bind(self, own: Path, over: str | Path) -> None:
        self.check("mount", "--bind", str(own), str(over))

    def inside(self, path: str | Path) -> Path:
        """How a path in there is reached from here."""
        return Path(f"/proc/{self.init}/root{path}")

    def argv(
        self, *words: str | Path, user: User | None = None, directory: str | Path = "/"
    ) -> list[str]:
        """argv that runs `words` in there, as root or as the user, with a clean environment."""
        enter = ["--mount", "--root", "--net", "--pid", "--uts", f"--wd={self.inside(directory)}"]
        become, given = [], {**_ENVIRONMENT, "PATH": self.path, **self.environment()}
        if user is not None:
            become = ["setpriv", "--reuid", user.name, "--regid", str(user.gid), "--init-groups"]
            given |= {"HOME": str(user.home), "USER": user.name, "LOGNAME": user.name}
        clean = ["env", "-i", *(f"{name}={value}" for name, value in given.items())]
        return ["nsenter", f"--target={self.init}", *enter, "--", *become, *clean, *map(str, words)]

    def environment(self) -> dict[str, str]:
        """What programs in there have besides."""
        return {}

    def run(
        self,
        *words: str | Path,
        user: User | None = None,
        directory: str | Path = "/",
        seconds: float = LIMIT_SECONDS,
        stdin: str = "",
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(*words, user=user, directory=directory),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
        )

    def check(self, *words: str | Path, user: User | None = None, stdin: str = "") -> str:
        """Its stdout; the test fails when it does."""
        done = self.run(*words, user=user, stdin=stdin)
        assert done.returncode == 0, f"{words}: {done.returncode}: {done.stderr}{done.stdout}"
        return done.stdout.strip()

    def processes(self, user: User) -> list[int]:
        """Living processes of a user in there, by the numbers that they have in there."""
        found = []
        for entry in self.inside("/proc").glob("[0-9]*/status"):
            try:
                status = entry.read_bytes().decode(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if f"\nUid:\t{user.uid}\t" in status and "\nState:\tZ" not in status:
                found.append(int(entry.parent.name))
        return sorted(found)

    def session(self, sid: int) -> list[int]:
        """Members of a session in there, by the numbers that they have in there."""
        found = []
        for entry in self.inside("/proc").glob("[0-9]*/stat"):
            try:
                fields = entry.read_bytes().rpartition(b")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[3]) == sid:
                found.append(int(entry.parent.name))
        return found

    def remove(self) -> None:
        assert self._holder.stdin is not None and self._holder.stdout is not None
        self._holder.stdin.close()
        self._holder.stdout.close()
        self._holder.wait(LIMIT_SECONDS)
        wait_until(lambda: not Path(f"/proc/{self.init}").exists())
        shutil.rmtree(self.root)
