# SPDX-License-Identifier: MIT
"""An OpenPBS of the tests' own, told to call torqueckpt by `torqueckpt configure openpbs --apply`.

Its server keeps jobs in a data base, so the home is copied with that; what was queued is deleted.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.batch.private import PrivateBatch
from tests.support import User

# A minute of a job's time is over in five seconds, and MOM looks every four: less than three, and
# the server never hears of a job's session, as updates are held back for two.
_FASTER = "$wallmult 12\n$cputmult 12\n$min_check_poll 4\n$max_check_poll 4\n"
# of each job: twenty minutes here
LIMITS = ("-l", "walltime=04:00:00")
_LEFT_BEHIND = ("mom_priv/jobs", "spool", "checkpoint", "undelivered", "mom_logs", "server_logs")


class PrivateOpenPBS(PrivateBatch):
    """Server with its data base, MOM, scheduler and pbs_comm, on the ports of its pbs.conf."""

    name, title = "openpbs", "OpenPBS"
    status_options = ("-x", "-f")
    purge = ("-W", "force")
    ended_state = "F"
    exit_status = "Exit_status"
    checkpointable = ("-c", "w=1")  # there is no qchkpt
    config_errors = ("WARNING", "Unable to", "unrecognized", "error in line", "not set")
    small_request = "ncpus=0"
    saved_at_shutdown = (("-c", "s"), ())
    memory_request = "select=1:ncpus=1:mem=200mb"
    requeues_lost_jobs = True

    def __init__(self, prefix: Path, library: Path) -> None:
        self.conf = prefix / "etc" / "pbs.conf"
        pairs = (line.split("=", 1) for line in self.conf.read_text().split())
        values = dict(pairs)
        super().__init__(prefix, Path(values["PBS_HOME"]), library, values["PBS_SERVER"])

    def _own_home(self) -> None:
        own = self.root / "home"
        subprocess.run(["cp", "-a", self.home, own], check=True)
        for lock in [*own.glob("*/*.lock"), own / "datastore/postmaster.pid"]:
            lock.unlink(missing_ok=True)
        for name in _LEFT_BEHIND:
            subprocess.run(["find", own / name, "-mindepth", "1", "-delete"], check=True)
        self.bind(own, self.home)

    def environment(self) -> dict[str, str]:
        return {"PBS_CONF_FILE": str(self.conf)}

    def start(self) -> None:
        of_jobs = self.root / "tmp"  # else those of another server's job with the same number
        of_jobs.mkdir()
        of_jobs.chmod(0o1777)
        self.mom_config.write_text(f"{_FASTER}$tmpdir {of_jobs}\n")
        self.check(*self.configure_argv("--apply"))
        for daemon in ("pbs_comm", "pbs_mom", "pbs_sched"):
            self.check(daemon)
        self.start_server()
        self.apply()  # the launch hook: the server was not there before
        self.limit_queue()
        for job in self.run("qselect", "-x").stdout.split():
            self.run("qdel", "-x", *self.purge, job)

    def limit_queue(self) -> None:
        for each, value in (("walltime", "20:00:00"), ("mem", "200mb")):
            self.check("qmgr", "-c", f"set queue workq resources_default.{each} = {value}")

    def start_without_limits(self, user: User, script: Path) -> str:
        job = PrivateBatch.submit(self, user, script, "-f")
        self.wait_until_running(job)
        return job

    def start_server(self) -> None:
        self.check("pbs_server")
        self.wait(lambda: self.run("qstat", "-B").returncode == 0, "the server's answer")
        self.wait_until_free()

    def wait_until_free(self) -> None:
        def free() -> bool:
            """And with its processors, of which the server hears a little later."""
            told = self.run("pbsnodes", "-a").stdout
            return "state = free" in told and "resources_available.ncpus = 0" not in told

        self.wait(free, "a free node", 60, lambda: self.run("pbsnodes", "-a").stdout)

    @property
    def hook_at_mom(self) -> Path:
        return self.root / "home/mom_priv/hooks/torqueckpt.PY"

    @contextmanager
    def without_launch_hook(self) -> Iterator[None]:
        self.check("qmgr", "-c", "delete hook torqueckpt")
        self.wait(lambda: not self.hook_at_mom.exists(), "MOM without the hook")
        try:
            yield
        finally:
            self.apply()

    def apply(self) -> str:
        """As an administrator does, with the server there; what was said."""
        done = self.run(*self.configure_argv("--apply"))
        told = [line for line in done.stderr.splitlines() if "$wallmult 12" not in line]
        assert (done.returncode, told) == (0, []), done
        return str(done.stdout)

    def configure_argv(self, *options: str) -> list[str]:
        """As an administrator says it, with what this site has besides."""
        site = ["--usecp", "*:/ /", "--logevent", "511"]
        return [str(self.torqueckpt), "configure", "openpbs", *site, *options]

    def reconfigure_mom(self, config: bytes) -> None:
        """MOM reads this from now on."""
        self.mom_config.write_bytes(config)
        pid = self.mom()
        assert pid is not None
        self.kill(pid, signal.SIGHUP)

    @contextmanager
    def real_minutes(self) -> Iterator[None]:
        faster = self.mom_config.read_bytes()
        self.reconfigure_mom(faster.replace(b"$wallmult 12", b"$wallmult 1"))
        try:
            yield
        finally:
            self.reconfigure_mom(faster)

    def submit(self, user: User, script: Path, *options: str) -> str:
        """In the foreground: else qsub leaves a process of the user's behind, for the next one.

        With limits, as sites have them; those of the queue are for what the script does not say.
        """
        return super().submit(user, script, "-f", *LIMITS, *options)

    def config_in_log(self) -> list[str]:
        actions = [f"action;{each}: " for each in ("checkpoint", "checkpoint_abort", "restart")]
        path = f"Setting checkpoint path to {self.pointers}/"
        return [*actions, "set_restart_transmogrify;false", path]

    def take_image(self, job: str, owner: User) -> int:
        """By MOM's own timer: a minute of a job's time is five seconds here."""
        return self.wait_for_image(job, self.newest(job))

    def assert_checkpoint_fails(self, job: str, owner: User, why: str) -> None:
        for _ in range(2):
            refused = self.run("qhold", job, user=owner)
            assert refused.returncode != 0 and "15061" in refused.stderr
            status = self.full_status(job)
            assert status["job_state"] == "R"
            assert why in status["comment"], status

    def release(self, job: str, user: User | None, *options: str) -> None:
        self.check("qrls", *options, job, user=user)

    def wait_until_restarted(self, job: str) -> None:
        """Until the server has heard of it: before that, qhold takes no image."""
        self.wait(
            lambda: (
                self.last_event(job) == "restart" and self.full_status(job).get("substate") == "42"
            ),
            "a restart",
            60,
            lambda: (self.full_status(job), self.mom_log()[-4000:]),
        )

    def last_event(self, job: str) -> str:
        """What the journals say last of a job."""
        told = "\n".join(path.read_text() for path in self.store.glob("jobs/*/journal"))
        events = map(json.loads, filter(None, told.splitlines()))
        return ["", *(each["event"] for each in events if each.get("job") == job)][-1]

    def restart_mom_without(self, job: str, owner: User) -> None:
        """It would go on by itself."""
        self.check("qdel", *self.purge, job, user=owner)
        self.start_mom()
        self.wait_until_free()

    def wait_for_end(self, job: str) -> dict[str, str]:
        """Of a job that is queued again: without waiting for the scheduler's next turn."""

        def ended() -> dict[str, str] | None:
            status = self.full_status(job)
            if status.get("job_state") == "Q":
                self.run("qrun", job)
            return status if status.get("job_state") == "F" else None

        found: dict[str, str] = self.wait(ended, f"{job}'s end", 60, lambda: self.full_status(job))
        return found

    def supervisor(self, job: str) -> int | None:
        """The pid, in there, of the mom-restart that is the job now, once it has a child."""
        for entry in self.inside("/proc").glob("[0-9]*"):
            words = _words(entry / "cmdline")
            children = _words(entry / "task" / entry.name / "children")
            if job in words and any(w.endswith("/mom-restart") for w in words) and children:
                session = (entry / "stat").read_text().rpartition(")")[2].split()[3]
                if session == entry.name and len(children[0].split()) > 1:  # the guard, the tree
                    return int(entry.name)
        return None


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []
