# SPDX-License-Identifier: MIT
"""Real jobs for tests: users, a site with settings of its own, jobs that count."""

from __future__ import annotations

import json
import os
import pwd
import secrets
import shutil
import signal
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.boot import empty_temporary

PREFIX = Path(os.environ.get("TORQUECKPT_PREFIX", "/opt/torqueckpt-test"))
REPOSITORY = Path(__file__).resolve().parent.parent
INSTALLED = PREFIX / "lib" / "torqueckpt"
SHIMS = ("chkpnt", "resume", "cr_run", "cr_checkpoint", "cr_restart")

LIMIT_SECONDS = 300

COUNT = """#!/bin/sh
i=0
while [ $i -lt {last} ]; do
    i=$((i + 1)){before}
    echo line $i
    sleep {pause}
done
exit {status}
"""
# What a job's end waits for, in its directory: a job is as long as its test needs it.
MAY_END = "may-end"
UNTIL_IT_MAY_END = f'until [ -e "$PBS_O_WORKDIR/{MAY_END}" ]; do sleep 0.05; done'
_PYTHON_UNTIL = """here = os.environ["PBS_O_WORKDIR"]
    while i == {last} and not os.path.exists(f"{{here}}/{file}"):
        time.sleep(0.05)"""


@dataclass(frozen=True)
class User:
    name: str
    uid: int
    gid: int
    home: Path

    def argv(self, *words: str | Path) -> list[str]:
        """argv that runs `words` as this user."""
        become = ["--reuid", self.name, "--regid", str(self.gid), "--init-groups", "--reset-env"]
        return ["/usr/bin/setpriv", *become, *map(str, words)]

    def processes(self) -> list[int]:
        """Living processes of this user, by pid."""
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                status = Path(f"/proc/{name}/status").read_bytes().decode(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if f"\nUid:\t{self.uid}\t" in status and "\nState:\tZ" not in status:
                found.append(int(name))
        return found

    def kill_all(self) -> None:
        """End what a test has left; these users exist for the tests alone."""
        wait_until(lambda: _killed(self.processes()))

    def has_none(self) -> None:
        """Wait until no process of this user's is left."""
        wait_until(lambda: not self.processes())

    def views(self) -> list[Path]:
        """What restores of this user's jobs have in /run, where other tests' have theirs."""
        found = Path("/run").glob("torqueckpt-*")
        return [path for path in found if self.uid in _readers(path)]

    def directory(self, name: str = "") -> Path:
        """A new directory of his, below his home."""
        made = self.home / (name or f"job-{secrets.token_hex(4)}")
        made.mkdir()
        os.chown(made, self.uid, self.gid)
        return made

    def script(self, text: str, directory: Path, name: str = "run_job.sh") -> Path:
        path = directory / name
        path.write_text(text)
        os.chown(path, self.uid, self.gid)
        return path


@dataclass
class Running:
    """A `torqueckpt run` and its job."""

    site: Site
    process: subprocess.Popen[str]
    job: str
    directory: Path
    name: str
    stderr: Path
    may_end: Path = field(init=False)

    def __post_init__(self) -> None:
        self.may_end = self.directory / MAY_END

    @property
    def number(self) -> str:
        return self.job.partition(".")[0]

    def leader(self) -> int:
        """The session leader: the MOM's child."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        found: list[int] = wait_until(lambda: [int(p) for p in children.read_text().split()])
        return found[0]

    def exec_pid(self) -> int:
        """The leader's child that runs the script, or stays: a login shell has had others before,
        for /etc/profile."""
        leader = self.leader()
        children = Path(f"/proc/{leader}/task/{leader}/children")
        script = f"/{self.job}.SC\0".encode()

        def found() -> str:
            before = children.read_text()
            for pid in before.split():
                if script in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return pid
            time.sleep(0.2)
            return before if before == children.read_text() else ""

        return int(wait_until(found).split()[0])

    def spooled(self) -> str:
        path = self.site.spool / "spool" / f"{self.job}.OU"
        return path.read_text() if path.exists() else ""

    def wait_for_line(self, number: int) -> None:
        wait_until(lambda: f"line {number}\n" in self.spooled())

    def wait(self) -> int:
        """Its status, once it has ended; a job of counting() may end from now on."""
        self.may_end.touch()
        return self.wait_as_it_is()

    def wait_as_it_is(self) -> int:
        """The same of one that ends without that: another that still runs may have its name."""
        return self.process.wait(LIMIT_SECONDS)

    def out(self) -> str:
        return (self.directory / f"{self.name}.o{self.number}").read_text()

    def err(self) -> str:
        return (self.directory / f"{self.name}.e{self.number}").read_text()

    def crash(self) -> None:
        """A node crash and boot: MOM, the job's session, spool files and all in /tmp are gone."""
        owner = pwd.getpwnam(self.site.owner_of(self.job))
        leader = self.leader()
        kill(self.process.pid)
        self.process.wait()
        wait_until(lambda: _killed(session(leader)))
        for suffix in ("OU", "ER"):
            (self.site.spool / "spool" / f"{self.job}.{suffix}").unlink(missing_ok=True)
        (self.site.spool / "mom_priv" / "jobs" / f"{self.job}.SC").unlink()
        empty_temporary(owner.pw_uid)

    def hook_argv(self, *, name: str = "-", signal: int = 0, depth: str = "-") -> list[str]:
        """The call that pbs_mom of today makes, for this job, without a pointer."""
        owner = self.site.owner_of(self.job)
        words = (str(self.leader()), self.job, owner, "group", "-", name, str(signal), depth)
        return [str(self.site.checkpoint_program), *words]


@dataclass
class Site:
    """Programs of the installation under test, with settings, store and spool of their own."""

    root: Path
    running: list[Running] = field(default_factory=list)
    other_store: Path | None = None

    @classmethod
    def make(cls) -> Site:
        """The interpreter finds its installation by where it lies, so a directory of links will do.

        Its door has a sudo rule of its own, written by the installation's program for it.
        """
        root = Path(tempfile.mkdtemp(prefix="tckpt-", dir="/var/tmp"))
        root.chmod(0o755)
        site = cls(root)
        venv = root / "lib" / "torqueckpt" / "venv"
        (venv / "bin").mkdir(parents=True)
        (venv / "bin" / "python").symlink_to((INSTALLED / "venv/bin/python").resolve())
        shutil.copy(INSTALLED / "venv" / "pyvenv.cfg", venv)
        for name in ("lib", "share"):
            (venv / name).symlink_to(INSTALLED / "venv" / name)
        (venv.parent / "criu").symlink_to(INSTALLED / "criu")
        for name in ("at-freeze", "preload"):
            (venv.parent / name).symlink_to(INSTALLED / name)
        (venv.parent / "etc").symlink_to(root / "etc")
        site._launchers(venv)
        rule = subprocess.run(
            [REPOSITORY / "install" / "sudo-rule", venv.parent / "rootdoor"],
            capture_output=True,
            check=True,
        )
        site.sudo_rule.write_bytes(rule.stdout)
        site.sudo_rule.chmod(0o440)
        (root / "etc").mkdir()
        shutil.copy(PREFIX / "etc/torqueckpt/signature.key", root / "etc")
        (site.store / "jobs").mkdir(parents=True)
        site.spool.mkdir()
        site.configure()
        return site

    def _launchers(self, venv: Path) -> None:
        words = (str(REPOSITORY / "install" / "launcher"), str(venv / "bin" / "python"), "MODULE")
        text = subprocess.run(words, capture_output=True, check=True, text=True).stdout
        for place, name, module in (
            ("bin", "torqueckpt", "torqueckpt.cli.main"),
            ("sbin", "mom-checkpoint", "torqueckpt.hooks.mom_checkpoint"),
            ("sbin", "mom-restart", "torqueckpt.hooks.mom_restart"),
            ("sbin", "mom-run", "torqueckpt.hooks.mom_run"),
            ("lib/torqueckpt", "rootdoor", "torqueckpt.hooks.rootdoor"),
            ("sbin", "lsf-jobstarter", "torqueckpt.hooks.lsf_jobstarter"),
            ("sbin", "echkpnt", "torqueckpt.hooks.echkpnt"),
            ("sbin", "erestart", "torqueckpt.hooks.erestart"),
            *(("bin", name, f"torqueckpt.shims.{name}") for name in SHIMS),
        ):
            (self.root / place).mkdir(exist_ok=True)
            program = self.root / place / name
            program.write_text(text.replace("MODULE", module))
            program.chmod(0o755)

    @property
    def sudo_rule(self) -> Path:
        return Path("/etc/sudoers.d") / self.root.name

    @property
    def store(self) -> Path:
        return self.root / "store" if self.other_store is None else self.other_store

    @property
    def spool(self) -> Path:
        return self.root / "spool"

    @property
    def program(self) -> Path:
        return self.root / "bin" / "torqueckpt"

    @property
    def checkpoint_program(self) -> Path:
        return self.root / "sbin" / "mom-checkpoint"

    @property
    def restart_program(self) -> Path:
        return self.root / "sbin" / "mom-restart"

    def configure(self, **options: object) -> None:
        """Settings for this site; a store and a spool of its own unless given.

        A number that an image needs may be another test's process's for a while, and no dump waits
        for those of other tests, which hang now and then, as they are told to.
        """
        places = {"store": str(self.store), "local_home": str(self.spool)}
        patient = {"pid_wait_seconds": LIMIT_SECONDS, "dumps_at_once": 1000}
        given = {**places, **patient, **options}
        lines = [f"{name} = {json.dumps(value)}\n" for name, value in given.items()]
        (self.root / "etc" / "torqueckpt.toml").write_text("".join(lines))

    def start(
        self,
        user: User,
        script: Path,
        *options: str,
        arguments: tuple[str, ...] = (),
        begun_by: tuple[str, ...] = (),
    ) -> Running:
        """`torqueckpt run` in the script's directory, as soon as it has told the job's id.

        begun_by: a command that begins the MOM.
        """
        stderr = script.parent / f"mom-{secrets.token_hex(4)}.err"
        with stderr.open("w") as errors:
            process = subprocess.Popen(
                [*begun_by, self.program, "run", "--user", user.name, *options, script, *arguments],
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=script.parent,
                text=True,
            )
        assert process.stdout is not None
        job = process.stdout.readline().strip()
        assert job, stderr.read_text()
        name = options[options.index("-N") + 1] if "-N" in options else script.name[:15]
        running = Running(self, process, job, script.parent, name, stderr)
        self.running.append(running)
        return running

    def resume(
        self,
        user: User,
        job: str,
        directory: Path,
        *options: str,
        begun_by: tuple[str, ...] = (),
    ) -> Running:
        """Build resume_job.sh as the user and run it as a new job."""
        script = directory / f"resume-{secrets.token_hex(4)}.sh"
        words = ("resume-job", job, "-o", str(script), *options)
        subprocess.run(user.argv(self.program, *words), check=True)
        text = script.read_text()
        name = next(line[8:] for line in text.splitlines() if line.startswith("#PBS -N "))
        running = self.start(user, script, begun_by=begun_by)
        running.name = name
        begun = (each.may_end for each in self.running if each.job == job)
        running.may_end = next(begun, running.may_end)
        return running

    def call(self, user: User | None, *words: str) -> subprocess.CompletedProcess[str]:
        """A torqueckpt command, as the user or as root."""
        argv = [str(self.program), *words]
        argv = argv if user is None else user.argv(*argv)
        return subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_SECONDS)

    def rows(self, job: str | None = None) -> list[dict[str, Any]]:
        words = ("list", "--json", *(("--job", job) if job else ()))
        answer = self.call(None, *words)
        found: list[dict[str, Any]] = json.loads(answer.stdout) if answer.stdout else []
        return found

    def generations(self, job: str) -> list[int]:
        """The numbers of its images; no program is started for it, as one who waits would often."""
        found = [name for place in self._lineages(job) for name in os.listdir(place)]
        return sorted(int(name) for name in found if name.isdigit())

    def owner_of(self, job: str) -> str:
        record = json.loads((self.spool / "mom_priv" / "jobs" / f"{job}.JB").read_text())
        owner: str = record["owner"]
        return owner

    def lineage(self, job: str) -> Path:
        """Of the one owner that has such a job."""
        (found,) = self._lineages(job)
        return found

    def _lineages(self, job: str) -> list[Path]:
        links = [owner / "ids" / job for owner in (self.store / "jobs").iterdir()]
        return [link.parents[1] / os.readlink(link) for link in links if link.is_symlink()]

    def wait_for_images(self, job: str, count: int = 1) -> int:
        """The newest generation once at least `count` are there."""
        newest: int = wait_until(lambda: self.generations(job)[count - 1 :])[-1]
        return newest

    def wait_for_newer(self, job: str, than: int) -> None:
        wait_until(lambda: max(self.generations(job), default=0) > than)

    def wait_for_restart(self, running: Running) -> None:
        """Until it is its own processes that run: what it has written so far comes before them."""
        noted = f'"restart", "job": "{running.job}"'

        def seen() -> bool:
            journals = self.store.glob("jobs/*/journal")
            return any(noted in file.read_text() for file in journals)

        wait_until(lambda: seen() or running.process.poll() is not None)
        assert seen(), running.err()

    def remove(self) -> None:
        for running in self.running:
            if running.process.poll() is None:
                running.process.terminate()
                running.process.wait(LIMIT_SECONDS)
            if running.process.stdout is not None:
                running.process.stdout.close()
        self.sudo_rule.unlink()
        shutil.rmtree(self.root)


def lines(last: int, first: int = 1) -> str:
    """What COUNT prints."""
    return "".join(f"line {n}\n" for n in range(first, last + 1))


def count_script(last: int = 30, pause: float = 0.1, status: int = 7) -> str:
    return COUNT.format(last=last, pause=pause, status=status, before="")


def counting(last: int = 30, pause: float = 0.05, status: int = 7) -> str:
    """The same, but the last line comes when the test waits for the end: Running.wait()."""
    before = f"\n    [ $i -lt {last} ] || {UNTIL_IT_MAY_END}"
    return COUNT.format(last=last, pause=pause, status=status, before=before)


def python_counting(last: int, before: str = "", pause: float = 0.05) -> str:
    """The same in Python, for programs that import os and time; `before`: done before each line."""
    until = _PYTHON_UNTIL.format(last=last, file=MAY_END)
    body = [until, before, 'print("line", i, flush=True)', f"time.sleep({pause})"]
    return f"for i in range(1, {last} + 1):\n" + "".join(f"    {each}\n" for each in body if each)


def is_there(what: str) -> bool:
    """Whether a program, or a module of the system's Python, is installed."""
    places = ("lib/python3*/dist-packages", "local/lib/python3*/dist-packages")
    modules = any(found for place in places for found in Path("/usr").glob(f"{place}/{what}"))
    return modules or shutil.which(what) is not None


def session(sid: int) -> list[int]:
    """Living members of a session."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = stat_fields(int(name))
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == sid and fields[0] not in "ZX":
            found.append(int(name))
    return found


def _readers(path: Path) -> list[int]:
    """The uids that a file's access list names."""
    try:
        listed = os.getxattr(path, "system.posix_acl_access")
    except OSError:  # just gone, or not shown yet
        return []
    entries = struct.iter_unpack("<HHI", listed[4:])
    return [uid for tag, _, uid in entries if tag == 0x02]


def _killed(pids: list[int]) -> bool:
    """Whether there was nobody left to kill: what one of them was starting is gone with it too."""
    for pid in pids:
        kill(pid)
    return not pids


def stat_fields(pid: int) -> list[str]:
    """What stands behind the name in /proc/PID/stat: state, parent, group, session, …"""
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].decode().split()


def alive(pid: int) -> bool:
    try:
        return stat_fields(pid)[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def wait_until(look: Callable[[], Any], seconds: float = LIMIT_SECONDS) -> Any:
    """The first true value of look(); fails after the time."""
    until = time.monotonic() + seconds
    while True:
        try:
            found = look()
        except (FileNotFoundError, ProcessLookupError):
            found = None
        if found:
            return found
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)
