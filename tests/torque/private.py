# SPDX-License-Identifier: MIT
"""A TORQUE of the tests' own, told to call torqueckpt by `torqueckpt configure torque --apply`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import pytest

from tests.batch.private import HOST, PrivateBatch
from tests.support import User
from torqueckpt.batch.torque import hold_answers

QUEUE = """
create queue batch queue_type=Execution
set queue batch enabled=True
set queue batch started=True
set queue batch checkpoint_dir={pointers}
set queue batch resources_default.walltime=00:20:00
set queue batch resources_default.mem=600mb
set queue batch resources_default.vmem=8gb
set queue batch resources_max.walltime=24:00:00
set server default_queue=batch
set server keep_completed=300
set server operators += root@{host}
set server scheduler_iteration=1
set server scheduling=True
"""
_CALLS = "tests/torque/calls.py"
_DEPENDS = f"{_CALLS}::TestTORQUE::test_a_chain_of_jobs_waits_by_the_example"
# MOM's own times, in seconds: a node is free, and usage is known, sooner than after 45.
_SOONER = "$status_update_time 2\n$check_poll_time 2\n"


class PrivateTorque(PrivateBatch):
    """Server, MOM and scheduler on the ports that TORQUE has by default."""

    name, title = "torque", "TORQUE"
    holdable = checkpointable = ("-c", "enabled")
    limits = {"walltime": "00:30:00", "mem": "500mb"}  # by which MOM kills, and setrlimit
    config_errors = ("invalid", "cannot")
    saved_at_shutdown = (("-c", "s"), ("-c", "shutdown"), ("-c", "enabled"))
    checkpoint_commands = ("qchkpt",)
    call_tests = (*PrivateBatch.call_tests, _CALLS)
    # 6.1's server starts a job twice that qrun and the scheduler start at once
    may_run_jobs = False

    def __init__(self, prefix: Path, library: Path, *of_node: str) -> None:
        super().__init__(prefix, home_of(prefix), library, *of_node)
        if Path("/etc/pbs.conf").exists():  # an OpenPBS that is installed beside it
            self.put("/etc/pbs.conf", "")
        run = prefix / "run"
        if run.is_dir():  # where trqauthd's socket is, in this installation
            own = self.root / "run"
            own.mkdir()
            self.bind(own, run)

    @property
    def mom_priv(self) -> Path:
        return self.home / "mom_priv"

    def start(self) -> None:
        home = self.root / "home"
        (home / "server_name").write_text(f"{HOST}\n")
        (home / "mom_priv/config").write_text(_SOONER)
        self.check(*self.configure_argv("--apply"))
        self.check("trqauthd")
        self.check("pbs_server", "-t", "create", stdin="y\n")
        self.wait(lambda: self.run("qstat", "-B").returncode == 0, "the server's answer")
        if self.loses_holds:  # as skip_where_dependencies_hang
            self.call_tests += ("--deselect", _DEPENDS)
        self.check("qmgr", "-c", f"create node {HOST} np=8")
        self.check("qmgr", stdin=QUEUE.format(host=HOST, pointers=self.pointers))
        self.start_mom()
        self.check("pbs_sched")
        self.wait_until_free()

    def configure_argv(self, *options: str, mom_priv: Path | None = None) -> list[str]:
        """As an administrator says it, with what this site has besides."""
        words = ["configure", "torque", "--mom-priv", str(mom_priv or self.mom_priv)]
        site = ["--pbsserver", HOST, "--usecp", "*:/ /", "--logevent", "255"]
        return [str(self.torqueckpt), *words, *site, *options]

    def findings(self, mom_priv: Path | None = None) -> str:
        """What `configure --check` says, without the line on a server that loses holds."""
        done = self.run(*self.configure_argv("--check", mom_priv=mom_priv))
        assert done.returncode == (86 if done.stdout else 0), done
        told = done.stdout.splitlines(keepends=True)
        of_server = [line for line in told if line.startswith(f"server {self.server}: ")]
        assert ["TRQ-4388" in line for line in of_server] == [True] * self.loses_holds, told
        return "".join(line for line in told if line not in of_server)

    def config_in_log(self) -> list[str]:
        config = self.mom_config.read_text()
        names = {line.split()[0][1:] for line in config.splitlines() if line.startswith("$")}
        assert {"checkpoint_script", "restart_script", "checkpoint_run_exe"} < names
        return ["sbin/mom-checkpoint", "added RemChkptDir[0]"]

    def take_image(self, job: str, owner: User) -> int:
        """By qchkpt."""
        before = self.newest(job)
        self.qchkpt(job, owner)
        return self.wait_for_image(job, before)

    @property
    def loses_holds(self) -> bool:
        """6.1.3.h4, h5 and 6.1-dev answer qchkpt and qhold with 15086 though MOM did it."""
        return hold_answers.of_version(self.version)

    @cached_property
    def version(self) -> str:
        return self.check("qstat", "-B", "-f").partition("pbs_version = ")[2].split()[0]

    def skip_where_holds_are_lost(self) -> None:
        self._skip_where(self.loses_holds, "its qhold ends jobs or loses them")

    def skip_where_dependencies_hang(self) -> None:
        self._skip_where(self.loses_holds, "it may answer nobody once a job depends on another")

    def _skip_where(self, so: bool, why: str) -> None:
        if so:
            pytest.skip(f"TORQUE {self.version}: {why}")

    def qchkpt(self, job: str, owner: User) -> None:
        """An image is being taken, whatever the server says."""
        done = self.run("qchkpt", job, user=owner)
        assert done.returncode == 0 or (self.loses_holds and "Job not found" in done.stderr), done

    def can_hold(self, job: str, user: User) -> bool:
        self.skip_where_holds_are_lost()
        return super().can_hold(job, user)

    def assert_checkpoint_fails(self, job: str, owner: User, why: str) -> None:
        """The commands say nothing; the job's comment does."""
        for ask in ("qchkpt",) if self.loses_holds else ("qchkpt", "qhold"):
            time.sleep(1.5)  # MOM's names end with the second; 6.1 calls a second time
            before = self._failures(owner, job)
            self.run(ask, job, user=owner) if self.loses_holds else self.check(ask, job, user=owner)
            self.wait(
                lambda seen=before: self._failures(owner, job) > seen,
                f"{ask}'s own failure",
            )
            self.wait(
                lambda: why in self.full_status(job).get("comment", ""),
                "a comment that says why",
                instead=lambda: self.full_status(job),
            )
            assert self.state(job) == "R"
        time.sleep(1.5)

    def _failures(self, owner: User, job: str) -> int:
        noted = [(each["event"], each["job"]) for each in self.journal(owner)]
        return noted.count(("checkpoint-failed", job))

    @contextmanager
    def quiet_scheduler(self) -> Iterator[None]:
        self.check("qmgr", "-c", "set server scheduler_iteration=600")  # it asks MOM too
        try:
            yield
        finally:
            self.check("qmgr", "-c", "set server scheduler_iteration=1")

    @property
    def forgets_a_second_end(self) -> bool:
        """4.2.10's MOM reports the end of a job once, and a hold is one: only after a restart of
        pbs_mom does the server hear of the next hold or end (measured; MOM_EPILOGUE_RUN)."""
        return self.version.startswith("4.2.")

    def release(self, job: str, user: User | None, *options: str) -> None:
        """qrls of a held job, and what an administrator of 4.2.10 has to do before."""
        if self.forgets_a_second_end:
            before = self._ends_told(job)
            self.kill_mom()
            self.start_mom()
            # it mostly tells that end once more: a job that runs again by then would be complete
            until = time.monotonic() + 5
            while self._ends_told(job) == before and time.monotonic() < until:
                time.sleep(0.1)
            time.sleep(0.5)
        self.check("qrls", *options, job, user=user)

    def _ends_told(self, job: str) -> int:
        return self.mom_log().count(f"{job};obit sent to server")

    def wait_until_restarted(self, job: str) -> None:
        self.wait_until_running(job)

    def restart_mom_without(self, job: str, owner: User) -> None:
        """The server hears that it has ended."""
        self.start_mom()
        self.wait_until_free()
        self.wait_for_state(job, "C", 60)

    def wait_for_hold(self, job: str) -> dict[str, str]:
        """Attributes of a job once a restart that failed has put it on hold."""

        def held() -> dict[str, str] | None:
            status = self.full_status(job)
            on_hold = status.get("Hold_Types") == "s" and status.get("job_state") == "H"
            return status if on_hold and "restart failed" in status.get("comment", "") else None

        found: dict[str, str] = self.wait(
            held, "a system hold", instead=lambda: self.full_status(job)
        )
        return found

    def end(self, job: str) -> None:
        """qdel, and what is left when MOM has lost the job meanwhile; 6.1's server then makes a
        qdel wait for minutes."""
        for options in ((), ("-p",), ("-p",), ("-p",)):
            self.run("timeout", "15", "qdel", *options, job)
            if self.ended(job, 3):
                return
        raise AssertionError(f"{job} cannot be deleted: {self.full_status(job)}")

    def ended(self, job: str, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while self.state(job) not in ("C", ""):
            if time.monotonic() > until:
                return False
            time.sleep(0.2)
        return True

    def wait_until_free(self) -> None:
        def free() -> bool:
            told = self.run("pbsnodes").stdout
            if "offline" in told:
                self.run("pbsnodes", "-c", HOST)
            return "state = free" in told

        self.wait(free, "a free node", 90, lambda: self.run("pbsnodes").stdout)


def home_of(prefix: Path) -> Path:
    """PBS_HOME, else below the prefix, else TORQUE's own default."""
    places = [os.environ.get("PBS_HOME", ""), f"{prefix}/spool", "/var/spool/torque"]
    found = (Path(place) for place in places if place and Path(place, "mom_priv").is_dir())
    return next(found, Path("/var/spool/torque"))
