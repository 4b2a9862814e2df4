# SPDX-License-Identifier: MIT
"""Plays LSF's sbatchd for one node, with real processes, as contracts and pages of LSF tell it.

res is a shell of the user's that waits for the job file's shell; its process number is the job's.
What LSF does only textually is done textually: %USRCMD is put into the job file as it stands.
What an LSF was seen to get wrong is done wrong here too.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lsf.lsf_job import LsfJob
from tests.support import LIMIT_SECONDS, Site, User, kill, lines, stat_fields, wait_until

# As LSF's job files have it: these signals end the job's programs, not the shells above them.
_TRAPS = "trap : 1 2 10 12 15"
# What LSF puts around the user's command; the exit status is that of the command.
_BEFORE = f"#! /bin/sh\n\n{_TRAPS}\n# LSBATCH: User input\n"
_BEHIND = '\nExitStat=$?\nwait\n# LSBATCH: End user input\ntrue\nexit `expr $? "|" $ExitStat`\n'
_DIED_WITH_ITS_HOST = 65280  # LSB_JOBEXIT_STAT
_RES = f'{_TRAPS}; cd "$LS_SUBCWD"; /bin/sh "$LSB_JOBFILENAME"; exit $?'
COUNTING = """#!/bin/sh
i=0
while [ ! -e "$LS_SUBCWD/finish" ]; do
    i=$((i + 1))
    echo line $i
    sleep 0.1
done
exit 7
"""
_USER, _RESTARTED = 0x2, 0x40000  # LSB_SUSP_REASONS


@dataclass
class Sbatchd:
    """A queue with JOB_STARTER, JOB_CONTROLS, CHKPNT and POST_EXEC; `session`: res leads one."""

    site: Site
    user: User
    home: Path
    session: bool = False
    starter: str = ""
    suspend: str = "$LSF_SERVERDIR/echkpnt.blcr -k"
    resume: str = "$LSF_SERVERDIR/erestart.blcr"
    post_exec: str = '{torqueckpt} delete --post-exec && /bin/rm -Rf -- "$LSB_CHKPNT_DIR"'
    method: str = "blcr"  # LSB_ECHKPNT_METHOD; without one echkpnt.default is run
    log: list[str] = field(default_factory=list)
    jobs: dict[int, LsfJob] = field(default_factory=dict)
    last: int = 100

    def __post_init__(self) -> None:
        self.server_dir = self.site.root / "lsf"
        if not self.server_dir.exists():
            self.server_dir.mkdir()
            for name in ("echkpnt", "erestart"):
                (self.server_dir / f"{name}.blcr").symlink_to(self.site.root / "sbin" / name)
        self.starter = self.starter or f"{self.site.root}/sbin/lsf-jobstarter; exit $?; %USRCMD"
        self.post_exec = self.post_exec.format(torqueckpt=self.site.program)
        self.chkpnt = self.user.directory()

    def bsub(
        self, command: str = "", script: str = "", member_of: int = 0, start: bool = True
    ) -> LsfJob:
        """Submit a command, or a script as `bsub < script` does, or a member of an array."""
        self.last += 1
        number, index = (member_of, self.last) if member_of else (self.last, 0)
        directory = self._made(self.chkpnt / f"{number}{f'.{index}' if index else ''}")
        job_file = directory / f"{int(time.time())}.{number}"
        environment = {
            **{"HOME": str(self.user.home), "USER": self.user.name, "LOGNAME": self.user.name},
            **{"PATH": "/usr/bin:/bin", "LSF_SERVERDIR": str(self.server_dir)},
            **{"LSB_JOBID": str(number), "LSB_JOBINDEX": str(index), "LSB_QUEUE": "preemptable"},
            **{"LSB_JOBNAME": "counting", "LSB_HOSTS": "node1", "LSB_JOBFILENAME": str(job_file)},
            **{"LSB_CHKPNT_DIR": str(directory), "LS_SUBCWD": str(self.home)},
        }
        job = LsfJob(number, index, command, directory / f"{number}.out", environment, directory)
        if script:
            job.command = "$LSB_JOBFILENAME.shell"
            self.user.script(script, directory, f"{job_file.name}.shell").chmod(0o700)
        self.jobs[self.last] = job
        if start:
            self.start(job)
        return job

    def start(self, job: LsfJob) -> None:
        job_file = Path(job.environment["LSB_JOBFILENAME"])
        text = self.starter.replace("%USRCMD", job.command)
        self.user.script(f"{_BEFORE}{text}{_BEHIND}", job_file.parent, job_file.name)
        self.user.script("", job.out.parent, job.out.name)
        with job.out.open("r+b") as out:
            job.res = subprocess.Popen(
                [*_as(self.user), "/bin/sh", "-c", _RES],
                env=job.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=self.session,
                preexec_fn=None if self.session else os.setpgrp,
            )

    def bstop(self, job: LsfJob) -> None:
        assert job.state == "RUN"
        job.reasons |= _USER
        self.control(job, self.suspend)
        job.state = "USUSP"

    def bresume(self, job: LsfJob) -> None:
        assert job.state == "USUSP"
        job.reasons = 0
        self.control(job, self.resume)
        job.state = "RUN"

    def restart(self) -> None:
        """sbatchd itself is restarted: it suspends anew what it knows as suspended."""
        for job in self.jobs.values():
            if job.state == "USUSP":
                job.reasons |= _RESTARTED
                self.control(job, self.suspend)

    def control(self, job: LsfJob, command: str) -> None:
        """Run an action of JOB_CONTROLS until its process group is gone; its failure is logged."""
        self.finish(job, self.begin(job, command))

    def begin(self, job: LsfJob, command: str) -> subprocess.Popen[bytes]:
        pids = job.processes()
        groups = set[str]()
        for pid in pids:
            with suppress(ProcessLookupError):  # it has ended since
                groups.add(str(os.getpgid(pid)))
        extra = {
            "LSB_JOBPIDS": " ".join(map(str, pids)),
            "LSB_JOBPGIDS": " ".join(sorted(groups)),
            "LSB_SUSP_REASONS": str(job.reasons),
            "LSB_SUSP_SUBREASONS": "0",
        }
        return subprocess.Popen(
            [*_as(self.user), "/bin/sh", "-c", command],
            env={**job.environment, **extra},
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def finish(self, job: LsfJob, action: subprocess.Popen[bytes]) -> None:
        status = action.wait(LIMIT_SECONDS)
        wait_until(lambda: not _group(action.pid))
        if status:
            self.log.append(f"job {job.id}: action ended with {status}")

    def bkill(self, job: LsfJob, *numbers: int) -> None:
        """Signal the job at once, also during an action; sbatchd does not ask its control."""
        for number in numbers or (signal.SIGTERM,):
            for pid in job.processes():
                kill(pid, number)

    def limit(self, job: LsfJob, *before: int, info: str = "") -> int:
        """End the job as one that has reached a limit, with these signals before INT.

        TERM and KILL would come 10 s later, each.
        info: what POST_EXEC is told, as by IBM's LSF; the system of 2012 tells nothing.
        """
        pids = job.processes()  # LSF knows them, also when their parents have ended
        for number in (*before, signal.SIGINT):
            for pid in pids:
                kill(pid, number)
        if info:
            job.environment["LSB_JOBEXIT_INFO"] = info
        return self.wait(job)

    def wait(self, job: LsfJob) -> int:
        """The job's end: its status, its output delivered, and then POST_EXEC."""
        status = job.res.wait(LIMIT_SECONDS)
        wait_until(lambda: not _group(job.res.pid))
        job.state = "EXIT" if status else "DONE"
        if not job.migrated:  # the output of one that was is not delivered
            delivered = self.home / f"out.{job.number}"
            delivered.write_bytes(job.out.read_bytes())
            job.out = delivered
        self._post_exec(job, status << 8 if status >= 0 else -status)
        return status

    def host_dies(self, job: LsfJob) -> None:
        """All of the job is gone at once; the sbatchd that comes again runs POST_EXEC."""
        self.bkill(job, signal.SIGSTOP)  # so that nobody sees another one die
        self.bkill(job, signal.SIGKILL)
        job.res.wait(LIMIT_SECONDS)
        self.user.has_none()
        job.state = "EXIT"
        self._post_exec(job, _DIED_WITH_ITS_HOST)

    def _post_exec(self, job: LsfJob, raw_status: int) -> None:
        words = [*_as(self.user), "/bin/sh", "-c", self.post_exec]
        told = {**job.environment, "LSB_JOBEXIT_STAT": str(raw_status)}
        done = subprocess.run(words, env=told, capture_output=True, text=True)
        if done.returncode:
            self.log.append(f"POST_EXEC: {done.returncode}: {done.stderr}")

    def complete(self, job: LsfJob, status: int = 7, after: int = 0) -> None:
        """Let a job of COUNTING finish: its own status, each line once, after so many others."""
        before = job.spooled().count("\n")
        wait_until(lambda: job.spooled().count("\n") > before + 1)
        (self.home / "finish").touch()
        assert self.wait(job) == status
        said = job.spooled().splitlines(keepends=True)[after:]
        assert "".join(said) == lines(len(said)), "".join(said)

    def bchkpnt(self, job: LsfJob, *options: str) -> bool:
        """Have echkpnt make an image; its files move from JOBID.tmp to JOBID when that worked.

        Of a suspended job everything is stopped then: res, the job file's shell and the starter.
        """
        place = self._made(job.directory.with_suffix(".tmp"))
        program = self.server_dir / f"echkpnt.{self.method or 'default'}"
        if not program.exists():
            self.log.append(f"{program}: not found")
            place.rmdir()
            return False
        done = subprocess.run(
            [*_as(self.user), program, *options, "-d", place.name, str(job.res.pid)],
            env=job.environment,
            cwd=job.directory.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
        )
        worked = done.returncode == 0 and (not done.stderr or "Checkpoint done" in done.stderr)
        if not worked:
            self.log.append(done.stderr)
        for each in place.iterdir():
            if worked:
                each.rename(job.directory / each.name)
        if worked:
            place.rmdir()
        if worked and job.state == "USUSP" and "-k" not in options:
            self.bkill(job, signal.SIGSTOP)
        return worked

    def bmig(self, job: LsfJob) -> None:
        """Checkpoint the job, and start it again under its own number, from its directory."""
        assert self.bchkpnt(job, "-c", "-k"), self.log
        status = job.res.wait(LIMIT_SECONDS)
        self._post_exec(job, status << 8)
        job.migrated = True
        self._restarted(job, job, self.starter)

    def brestart(self, old: LsfJob, through_starter: bool = True) -> LsfJob:
        """A new job from the old one's directory, which gets the new number; a link stays."""
        new = self.bsub("", start=False)
        for each in new.directory.iterdir():
            each.unlink()
        new.directory.rmdir()
        old.directory.rename(new.directory)
        old.directory.symlink_to(new.directory.name)
        return self._restarted(old, new, self.starter if through_starter else "%USRCMD")

    def _restarted(self, old: LsfJob, new: LsfJob, starter: str) -> LsfJob:
        """Ask erestart how the job begins, and start it so."""
        new.environment |= {"LSB_OLD_JOBID": str(old.number), "LSB_RESTART": "Y"}
        environment = {**new.environment, "LSB_ERESTART_USRCMD": old.command}
        erestart = [*_as(self.user), self.server_dir / "erestart.blcr", new.directory]
        subprocess.run(erestart, env=environment, check=True, cwd=new.directory.parent)
        line = (new.directory / ".restart_cmd").read_text().splitlines()[0]
        new.command = line.partition("LSB_RESTART_CMD=")[2]
        before, self.starter = self.starter, starter
        self.start(new)
        self.starter = before
        return new

    def _made(self, directory: Path) -> Path:
        directory.mkdir(mode=0o700)
        os.chown(directory, self.user.uid, self.user.gid)
        return directory

    def journal(self) -> list[dict[str, Any]]:
        path = self.site.store / "jobs" / self.user.name / "journal"
        return [json.loads(line) for line in path.read_text().splitlines()]

    def noted(self, event: str) -> dict[str, Any]:
        """The last of that kind in the user's journal."""
        return [each for each in self.journal() if each["event"] == event][-1]

    def counting(self) -> LsfJob:
        """A job that has begun to count."""
        job = self.bsub(script=COUNTING)
        job.wait_for_line(5)
        return job

    def end(self) -> None:
        """What a test has left: these are this user's jobs alone."""
        self.user.kill_all()
        for job in self.jobs.values():
            if hasattr(job, "res"):
                job.res.wait()


def _as(user: User) -> list[str]:
    return ["/usr/bin/setpriv", "--reuid", user.name, "--regid", str(user.gid), "--init-groups"]


def _group(pgid: int) -> list[int]:
    """Living members of a process group."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = stat_fields(int(name))
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[2]) == pgid and fields[0] not in "ZX":
            found.append(int(name))
    return found
