# SPDX-License-Identifier: MIT
"""Take a small job through hold, end and restart, by the programs that batch jobs use.

doctor ─ mom-run ⇒ -sh, the session leader, which reads the program's name from a pipe ─ the program
doctor ─ mom-checkpoint … 15, as pbs_mom calls it
doctor ─ torqueckpt resume ⇒ sudo ⇒ rootdoor        which stays as the job, and ends with its status
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from torqueckpt import paths, run
from torqueckpt.errors import CannotBeDumped
from torqueckpt.identity import Owner
from torqueckpt.process import privileges, proc, signals, system_calls
from torqueckpt.settings import Settings
from torqueckpt.store import access
from torqueckpt.store.journal import TRIED
from torqueckpt.store.lineage import Lineage

HELD = "held\n"  # what a program prints once it may be dumped
GO = "go"  # the file in its directory that it waits for
_SECONDS = 60  # for each step
_LONG_OVER = 3600
_PLACE = "/var/tmp"
_FILES = ("out", "err", "out.resumed", "err.resumed", "program")
_SHELL = "/bin/sh"


@dataclass(frozen=True)
class Outcome:
    """What became of the job; why: the step that failed, refused: a dump that was refused.

    out and err: of the job that was resumed, or that ran on after it was refused.
    """

    why: str = ""
    refused: bool = False
    status: int = 0
    out: str = ""
    err: str = ""
    times: dict[str, int] = field(default_factory=dict)  # step → ms


class Trial:
    """One such job; its images and files are removed when it has ended."""

    def __init__(self, text: str, owner: Owner, settings: Settings, *, python: bool) -> None:
        self._owner = owner
        self._settings = settings
        self._text = text
        self._interpreter = [sys.executable, "-I", "-u"] if python else [_SHELL]
        self._number = f"{os.getpid()}{time.monotonic_ns() // 1_000_000 % 10**5:05d}"
        self._times: dict[str, int] = {}

    def outcome(self) -> Outcome:
        with self._directory() as directory, self._started(directory) as leader:
            if not self._until(directory / "out", HELD, leader):
                out, err = (self._read(directory / name) for name in ("out", "err"))
                why = f"it ended before its dump: {err.strip()[-200:]}"
                return Outcome(why, status=leader.poll() or 0, out=out, err=err)
            words = (str(leader.pid), self._job, self._owner.name, "-", "-", "-", "15", "-")
            hook = self._timed("dump", [str(paths.program("sbin", "mom-checkpoint")), *words])
            if not hook.ok:
                return self._not_dumped(hook, directory, leader)
            if _ended(leader) is None:
                return Outcome(f"it still runs {_SECONDS} s after its dump", times=self._times)
            self._let_go(directory)
            return self._resumed(directory)

    @property
    def _job(self) -> str:
        return f"{self._number}{TRIED}"

    def _not_dumped(
        self, hook: run.Finished, directory: Path, leader: subprocess.Popen[bytes]
    ) -> Outcome:
        """Let the job run on after a refused dump: it must end as if nothing had been."""
        self._let_go(directory)
        status = _ended(leader)
        out, err = (self._read(directory / name) for name in ("out", "err"))
        refused = hook.status == CannotBeDumped.exit_code
        why = hook.last_line() or f"mom-checkpoint ended with {hook.status}"
        if status is None:
            return Outcome(f"{why}; and the job does not go on", times=self._times)
        return Outcome(why, refused, status, out, err, self._times)

    def _resumed(self, directory: Path) -> Outcome:
        """Resume it as resume_job.sh does, in a session of its own, as another job."""
        program = [str(paths.program("bin", "torqueckpt")), "resume", self._job]
        began = time.monotonic()
        names = ("out.resumed", "err.resumed")
        job = {"PBS_JOBID": f"{self._number}0{TRIED}"}
        with self._background(program, directory, names, job) as resumed:
            status = _ended(resumed)
            if status is None:
                return Outcome(why=f"the restart took more than {_SECONDS} s", times=self._times)
        self._times["restart"] = int((time.monotonic() - began) * 1000)
        out, err = (self._read(directory / name) for name in names)
        own = next((line for line in err.splitlines() if line.startswith("torqueckpt: ")), "")
        why = (own or f"it ended with 125: {err[-200:]}") if status == 125 else ""
        return Outcome(why, False, status, out, err, self._times)

    @contextmanager
    def _started(self, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
        """Start it as pbs_mom does, through mom-run, which some checkpointers need."""
        shell = [str(paths.program("sbin", "mom-run")), _SHELL]
        line = shlex.join([*self._interpreter, str(directory / "program")])
        job = {"PBS_JOBID": self._job}
        with self._background(shell, directory, ("out", "err"), job, f"{line}\n") as leader:
            yield leader

    @contextmanager
    def _background(
        self,
        program: list[str],
        directory: Path,
        names: tuple[str, str],
        more: dict[str, str],
        text: str = "",
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Start a program of the user's that reads `text`; nothing of its session outlives this."""
        with privileges.acting_as(self._owner):
            flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW
            out, err = (os.open(directory / name, flags) for name in names)
        environment = {"PATH": run.PATH, "LANG": "C.UTF-8", "PBS_O_WORKDIR": str(directory)}
        started = subprocess.Popen(
            privileges.as_owner_argv(self._owner, (), program),
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=err,
            env={**environment, "PBS_ENVIRONMENT": "PBS_BATCH", "TMPDIR": str(directory), **more},
            cwd=directory,
            start_new_session=True,
            preexec_fn=system_calls.join_new_session_keyring,
        )
        os.close(out)
        os.close(err)
        try:
            assert started.stdin is not None
            with suppress(BrokenPipeError):  # it has ended already, and says why elsewhere
                started.stdin.write(text.encode())
                started.stdin.close()
            yield started
        finally:
            _end(started)

    @contextmanager
    def _directory(self) -> Iterator[Path]:
        """Make a directory of the user's with the job's files in it, before it is given to him."""
        directory = Path(tempfile.mkdtemp(prefix="torqueckpt-doctor-", dir=_PLACE))
        try:
            for name in _FILES:
                (directory / name).write_text(self._text if name == "program" else "")
                os.chown(directory / name, self._owner.uid, self._owner.gid)
            os.chown(directory, self._owner.uid, self._owner.gid)
            yield directory
        finally:
            self._forget()
            shutil.rmtree(directory, ignore_errors=True)

    def _forget(self) -> None:
        """Remove its images, those of a refused dump, and what a doctor that was killed has left.

        The lines in the journal count for nobody.
        """
        with access.as_owner(self._owner, self._settings) as owner_store:
            if owner_store is None:  # it was not dumped
                return
            for each in owner_store.lineages():
                if each.first_job == self._job or _is_left(each):
                    owner_store.forget(each)
        access.open_store(self._settings).tidy(self._owner.name)

    def _let_go(self, directory: Path) -> None:
        with privileges.acting_as(self._owner):
            (directory / GO).touch()

    def _timed(self, step: str, argv: list[str]) -> run.Finished:
        done = run.run(argv, timeout_seconds=_SECONDS)
        self._times[step] = done.wall_ms
        return done

    def _until(self, file: Path, text: str, leader: subprocess.Popen[bytes]) -> bool:
        until = time.monotonic() + _SECONDS
        while time.monotonic() < until and leader.poll() is None:
            if text in self._read(file):
                return True
            time.sleep(0.02)
        return False

    def _read(self, file: Path) -> str:
        """Read a file as the user, who may have replaced it: no link, no pipe, at most a MiB."""
        with privileges.acting_as(self._owner):
            fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(fd, "rb") as opened:
            return opened.read(1 << 20).decode("utf-8", "replace")


def _is_left(lineage: Lineage) -> bool:
    """Whether a lineage is of an earlier doctor's job that ended long ago."""
    began = int(lineage.name.rpartition("@")[2])
    return lineage.first_job.endswith(TRIED) and began < time.time() - _LONG_OVER


def _ended(started: subprocess.Popen[bytes]) -> int | None:
    """The exit status of a job; None when it takes too long."""
    try:
        return started.wait(_SECONDS)
    except subprocess.TimeoutExpired:
        return None


def _end(started: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the job, and of the tree that it restored."""
    root = proc.stat(started.pid)
    if started.poll() is None and root is not None:
        signals.kill_tree(root.id)
    started.wait()
