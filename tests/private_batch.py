# SPDX-License-Identifier: MIT
"""A batch system of the tests' own: an installed one, started in namespaces with an empty home.

Nothing that is installed on this machine is changed: the batch system's home, and the settings and
the store of the torqueckpt that is tried, are directories of the tests, mounted over the real ones
where only the tests' processes see it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.namespaces import ADDRESS, Namespaces, missing
from tests.support import PREFIX, User, wait_until

HOST = "tckptnode"
LONG = os.environ.get("TORQUECKPT_LONG") == "1"


@dataclass(frozen=True)
class Installed:
    """An installed batch system; `reason` says why none can be started here, "" if one can."""

    prefix: Path
    library: Path
    reason: str

    def report(self, name: str) -> str:
        """For the header of the tests' report."""
        told = f"DID NOT RUN: {self.reason}" if self.reason else f"run with {self.prefix}"
        if not self.reason and not LONG:
            told += "; those of minutes DID NOT RUN: TORQUECKPT_LONG=1 is not set"
        return f"torqueckpt: tests with a {name} server of their own: {told}"


def installed(variable: str, library_name: str, user: bool) -> Installed:
    """The one below $variable, or of the pbs_server on PATH; its library tells what it is."""
    prefix = os.environ.get(variable, "")
    if not prefix:
        program = shutil.which("pbs_server")
        if program is None:
            reason = f"no pbs_server on PATH, and {variable} is not set"
            return Installed(Path(), Path(), reason)
        prefix = str(Path(program).resolve().parents[1])
    library = Path(prefix, "lib", library_name)
    reason = _cannot(library) or ("" if user else "there is no ordinary user")
    return Installed(Path(prefix), library, reason)


def _cannot(library: Path) -> str:
    if not library.exists():
        return f"there is no {library}"
    if os.geteuid() != 0:
        return "they need root"
    if missing():
        return f"there is no program {missing()}"
    if not (PREFIX / "sbin" / "mom-checkpoint").exists():
        return f"torqueckpt is not installed in {PREFIX} (make test-prefix)"
    return ""


class PrivateBatch(Namespaces):
    """Base: what TORQUE and OpenPBS have in common.  start() is the subclass's."""

    mom_lock = "mom_priv/mom.lock"
    status_options: tuple[str, ...] = ("-f",)
    may_run_jobs = True  # beside the scheduler
    purge: tuple[str, ...] = ("-p",)  # qdel's, for a job that does not go

    def __init__(
        self, prefix: Path, home: Path, library: Path, host: str = HOST, address: str = ADDRESS
    ) -> None:
        super().__init__(host, address)
        self.prefix, self.home, self.library = prefix, home, library
        self.server = host
        self.path = f"{prefix}/bin:{prefix}/sbin:{self.path}"
        self._own_home()
        self._own_installation()

    def _own_home(self) -> None:
        """The directories of the home as they are, without what is in them."""
        own = self.root / "home"
        for directory, _, names in os.walk(self.home):
            made = own / Path(directory).relative_to(self.home)
            made.mkdir()
            for name in names:
                if name == "pbs_environment" or made.name == "sched_priv":
                    shutil.copy2(Path(directory, name), made)
            shutil.copystat(directory, made)
        self.bind(own, self.home)

    def _own_installation(self) -> None:
        shutil.copytree(PREFIX / "etc", self.root / "etc")
        for name in ("checkpoint/jobs", "torqueckpt", "checkpoint-pointers"):
            (self.root / "var/spool" / name).mkdir(parents=True)
        self._settings = (self.root / "etc/torqueckpt/torqueckpt.toml").read_text()
        self.bind(self.root / "etc", PREFIX / "etc")
        self.bind(self.root / "var", PREFIX / "var")
        self.configure()

    def configure(self, **options: object) -> None:
        """The settings of the installation with these besides."""
        given = {"pbs_library": str(self.library), **options}
        lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in given.items())
        rest = [line for line in self._settings.splitlines() if line.split(" = ")[0] not in given]
        settings = self.root / "etc/torqueckpt/torqueckpt.toml"
        settings.write_text("\n".join([lines, *rest, ""]))

    @property
    def store(self) -> Path:
        """As it is seen from here."""
        return self.root / "var/spool/checkpoint"

    @property
    def pointers(self) -> Path:
        return PREFIX / "var/spool/checkpoint-pointers"

    @property
    def torqueckpt(self) -> Path:
        return PREFIX / "bin/torqueckpt"

    def submit(self, user: User, script: Path, *options: str) -> str:
        """qsub in the script's directory; the job's id."""
        done = self.run("qsub", *options, script.name, user=user, directory=script.parent)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def start_job(self, user: User, script: Path, *options: str) -> str:
        """Submitted, and running."""
        job = self.submit(user, script, *options)
        self.wait_until_running(job)
        return job

    def resume(self, job: str, user: User, directory: Path) -> str:
        """As a user does: the script, and qsub of it; running."""
        script = directory / "resume_job.sh"
        script.unlink(missing_ok=True)
        self.check(self.torqueckpt, "resume-job", job, "-o", script, user=user)
        return self.start_job(user, script)

    def wait_until_running(self, job: str, seconds: float = 60) -> None:
        """Where it may, without waiting for the scheduler's next turn."""

        def runs() -> bool:
            status = self.full_status(job)
            if status.get("job_state") == "Q" and self.may_run_jobs:
                self.run("qrun", job)
            return status.get("job_state") == "R" and bool(status.get("session_id"))

        wait_until(runs, seconds)

    def full_status(self, job: str) -> dict[str, str]:
        """qstat -f: attribute → value; nothing for a job that the server no longer knows."""
        lines: list[str] = []
        for line in self.run("qstat", *self.status_options, job).stdout.splitlines():
            if line.startswith("\t") and lines:
                lines[-1] += line[1:]
            else:
                lines.append(line)
        pairs = (line.lstrip().split(" = ", 1) for line in lines if " = " in line)
        return {name: value for name, value in pairs}

    def state(self, job: str) -> str:
        return self.full_status(job).get("job_state", "")

    def wait_for_state(self, job: str, state: str, seconds: float = 30) -> dict[str, str]:
        """The job's attributes once it is in that state."""

        def look() -> dict[str, str] | None:
            status = self.full_status(job)
            return status if status.get("job_state") == state else None

        return self.wait(look, f"{job} in state {state}", seconds, lambda: self.full_status(job))

    def wait(
        self,
        look: Callable[[], Any],
        what: str,
        seconds: float = 30,
        instead: Callable[[], Any] = lambda: "",
    ) -> Any:
        """The first true value of look(); a failure says what there was instead."""
        until = time.monotonic() + seconds
        while not (found := look()):
            assert time.monotonic() < until, f"not within {seconds} s: {what}: {instead()}"
            time.sleep(0.1)
        return found

    def images(self, job: str) -> list[dict[str, Any]]:
        """The job's images, oldest first."""
        done = self.run(self.torqueckpt, "list", "--json", "--job", job)
        rows: list[dict[str, Any]] = json.loads(done.stdout) if done.stdout else []
        return rows

    def newest(self, job: str) -> int:
        """The number of the job's newest image, 0 when there is none."""
        rows = self.images(job)
        return int(rows[-1]["generation"]) if rows else 0

    def wait_for_image(self, job: str, after: int, seconds: float = 30) -> int:
        """The number of the job's newest image once there is one after that one."""
        found: int = self.wait(
            lambda: max(self.newest(job), after) - after,
            f"an image of {job} after number {after}",
            seconds,
            lambda: (self.images(job), self.full_status(job)),
        )
        return found + after

    def journal(self, user: User) -> list[dict[str, Any]]:
        """What happened to the user's images, oldest first."""
        path = self.store / "jobs" / user.name / "journal"
        return [json.loads(line) for line in path.read_text().splitlines()]

    def generation(self, job: str, user: User) -> Path:
        """Where the job's newest image lies, as it is seen from here."""
        row = self.images(job)[-1]
        return self.store / "jobs" / user.name / row["lineage"] / str(row["generation"])

    def written(self, job: str) -> str:
        """What the job has written to stdout and MOM has not delivered yet."""
        path = self.inside(self.home / "spool" / f"{job}.OU")
        return path.read_text() if path.exists() else ""

    def wait_for_line(self, job: str, number: int, seconds: float = 60) -> None:
        self.wait(
            lambda: f"line {number}\n" in self.written(job),
            f"line {number} of {job}",
            seconds,
            lambda: (self.written(job), self.full_status(job)),
        )

    def mom(self) -> int | None:
        """pbs_mom's pid in there."""
        lock = self.inside(self.home / self.mom_lock)
        digits = "".join(filter(str.isdigit, lock.read_text())) if lock.exists() else ""
        comm = self.inside(f"/proc/{digits or 0}/comm")
        return int(digits) if comm.exists() and comm.read_text().startswith("pbs_mom") else None

    def delivered(self, job: str, directory: Path, name: str = "run_job.sh") -> tuple[str, str]:
        """The job's stdout and stderr where MOM brings them."""
        number = job.partition(".")[0]
        out, err = (directory / f"{name}.{kind}{number}" for kind in "oe")
        wait_until(lambda: out.exists() and err.exists())
        return out.read_text(), err.read_text()

    def kill(self, pid: int, number: int = signal.SIGKILL) -> None:
        """A process in there, by its number in there."""
        self.run("kill", f"-{int(number)}", str(pid))

    def kill_mom(self) -> None:
        """As a crash does: it cannot tidy up."""
        pid = self.mom()
        assert pid is not None
        self.kill(pid)
        wait_until(lambda: self.mom() is None)

    def start_mom(self) -> None:
        self.check("pbs_mom")
        wait_until(lambda: self.mom() is not None)

    def leave_nothing(self, user: User) -> None:
        """Jobs deleted, processes ended: for the next test."""
        for job in self.run("qselect").stdout.split():
            self.run("timeout", "15", "qdel", *self.purge, job)
        for pid in self.processes(user):
            self.kill(pid)
        wait_until(lambda: not self.processes(user))
