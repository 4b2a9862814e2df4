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
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

from tests import shells
from tests.boot import empty_temporary
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


class PrivateBatch(Namespaces, ABC):
    """Base: what TORQUE and OpenPBS have in common, and the names for what each does its way."""

    name: str  # torque or openpbs
    title: str  # as `torqueckpt doctor` and the pages call it
    mom_lock = "mom_priv/mom.lock"
    status_options: tuple[str, ...] = ("-f",)
    may_run_jobs = True  # beside the scheduler
    purge: tuple[str, ...] = ("-p",)  # qdel's, for a job that does not go
    ended_state = "C"
    exit_status = "exit_status"  # the attribute
    requeues_lost_jobs = False  # a job whose node died begins again, under its old id
    checkpoint_commands: tuple[str, ...] = ()  # beside qhold
    config_errors: tuple[str, ...]  # words of MOM's log on a line of its config that it refuses
    call_tests: tuple[str, ...] = ("tests/batch/calls.py",)
    # qsub's options: for a job that qhold checkpoints; of which there are images while it runs;
    # that is checkpointed when the node goes down
    holdable: tuple[str, ...] = ()
    checkpointable: tuple[str, ...] = ()
    saved_at_shutdown: tuple[tuple[str, ...], ...]
    # qsub -l: memory; as little of a node as can be asked for
    memory_request = "mem=200mb"
    small_request = "nodes=1"
    # what each job asks for with -l, as on sites, where neither its script nor its test does
    limits: dict[str, str] = {}

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

    @abstractmethod
    def start(self) -> None:
        """Server, MOM and scheduler, until a node is free."""

    @abstractmethod
    def wait_until_free(self) -> None:
        """Until the node takes jobs."""

    @abstractmethod
    def configure_argv(self, *options: str) -> list[str]:
        """`torqueckpt configure` as this site's administrator types it."""

    @abstractmethod
    def config_in_log(self) -> list[str]:
        """What MOM's log says of each line that `torqueckpt configure` has written for it."""

    def findings(self) -> str:
        """What `configure --check` says."""
        done = self.run(*self.configure_argv("--check"))
        assert done.returncode == (86 if done.stdout else 0), done
        return done.stdout

    def skip_where_holds_are_lost(self) -> None:
        """Where qhold does not hold a job."""

    def skip_where_dependencies_hang(self) -> None:
        """Where a job must not depend on another."""

    @abstractmethod
    def take_image(self, job: str, owner: User) -> int:
        """One more image while the job runs on; its number."""

    @abstractmethod
    def assert_checkpoint_fails(self, job: str, owner: User, why: str) -> None:
        """Each command that asks for an image fails in this system's way; the job runs on, and
        its comment says why."""

    @abstractmethod
    def release(self, job: str, user: User | None, *options: str) -> None:
        """qrls of a held job; it need not run again."""

    @abstractmethod
    def wait_until_restarted(self, job: str) -> None:
        """Until a job that was released runs again."""

    @abstractmethod
    def restart_mom_without(self, job: str, owner: User) -> None:
        """After crash(): MOM runs again, and the job that was lost is over."""

    @contextmanager
    def real_minutes(self) -> Iterator[None]:
        """A minute of a job's time takes one."""
        yield

    @contextmanager
    def quiet_scheduler(self) -> Iterator[None]:
        """The scheduler asks the server and MOM nothing meanwhile."""
        yield

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
        """qsub in the script's directory, with limits; the job's id."""
        words = ("qsub", *self.limits_of(script, *options), *options, script.name)
        done = self.run(*words, user=user, directory=script.parent)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def limits_of(self, script: Path, *options: str) -> list[str]:
        """-l for each limit that neither the script nor an option names."""
        said = " ".join([script.read_text(), *options])
        missing = [name for name in self.limits if f"{name}=" not in said]
        return [word for name in missing for word in ("-l", f"{name}={self.limits[name]}")]

    def start_job(self, user: User, script: Path, *options: str) -> str:
        """Submitted, and running."""
        job = self.submit(user, script, *options)
        self.wait_until_running(job)
        return job

    @contextmanager
    def periodic(self, **options: object) -> Iterator[None]:
        """With `torqueckpt periodic` beside it, quick to ask and without grace."""
        self.configure(**{"periodic_poll_seconds": 1, "periodic_grace_seconds": 0, **options})
        with Popen(self.argv(self.torqueckpt, "periodic")) as running:
            try:
                yield
                assert running.poll() is None
            finally:
                self.run("pkill", "-f", "torqueckpt periodic")  # there is none but ours in there

    def hold(self, job: str, user: User) -> None:
        """qhold, and held."""
        assert self.can_hold(job, user)
        self.wait_for_state(job, "H")

    def can_hold(self, job: str, user: User) -> bool:
        """Whether qhold is taken; it may not have been carried out yet."""
        return self.run("qhold", job, user=user).returncode == 0

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

        self.wait(runs, f"{job} running", seconds, lambda: self.full_status(job))

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

    def wait_for_exit(self, job: str, seconds: float = 60) -> str:
        """The job's exit status, once it has ended."""
        return self.wait_for_state(job, self.ended_state, seconds)[self.exit_status]

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

    @property
    def mom_config(self) -> Path:
        """As it is seen from here."""
        return self.inside(self.home / "mom_priv/config")

    def mom_log(self) -> str:
        logs = self.inside(self.home / "mom_logs").iterdir()
        return "".join(path.read_text(errors="replace") for path in logs)

    def pointer_files(self) -> list[str]:
        """What lies where MOM expects its images."""
        return sorted(self.check("find", self.pointers, "-type", "f").split())

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
        return shells.without_notice(out.read_text()), err.read_text()

    def kill(self, pid: int, number: int = signal.SIGKILL) -> None:
        """A process in there, by its number in there."""
        self.run("kill", f"-{int(number)}", str(pid))

    def kill_mom(self) -> None:
        """As a crash does: it cannot tidy up."""
        pid = self.mom()
        assert pid is not None
        self.kill(pid)
        wait_until(lambda: self.mom() is None)

    def crash(self, owner: User) -> None:
        """The node is gone: MOM first, it must not see the job end."""
        self.kill_mom()
        for pid in self.processes(owner):
            self.kill(pid)
        wait_until(lambda: not self.processes(owner))
        empty_temporary(owner.uid)

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
