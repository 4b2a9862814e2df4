# SPDX-License-Identifier: MIT
"""The local MOM's directories, with files named as pbs_mom's are.

local_home/server_priv/serial          the last job number
local_home/mom_priv/jobs/<id>.SC .JB   the spooled script, batch.details of the job
local_home/spool/<id>.OU .ER           stdout and stderr while the job runs
local_home/checkpoint/<id>.CK/         the job's CKPTDIR
local_home/aux/<id>                    the node file        local_home/sock/<id>   the MOM's socket
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from torqueckpt import typed_json
from torqueckpt.batch.job_details import Details
from torqueckpt.errors import MomGone, StoreMissing, StoreNotWritable
from torqueckpt.identity import Owner
from torqueckpt.process import privileges
from torqueckpt.safe_files import ANY_SIZE, Directory

_MODES = {
    "server_priv": 0o750,
    "mom_priv": 0o751,
    "mom_priv/jobs": 0o751,
    "spool": 0o755,  # not 1777 as TORQUE's: who guesses a job's number could make its files
    "checkpoint": 0o751,
    "aux": 0o755,
    "sock": 0o755,
}

_ASIDE = ".held"  # behind the name of output that could not be delivered, during a restart


class Spool:
    """The local MOM's home; root calls all methods."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def make(self) -> None:
        """Make the directories with their modes, whatever root's umask is."""
        if not self.home.is_dir():
            raise StoreMissing(path=self.home, remedy="`make install` makes it")
        for name, mode in _MODES.items():
            path = self.home / name
            try:
                path.mkdir(exist_ok=True)
                path.chmod(mode)
            except OSError as problem:
                raise StoreNotWritable(path=path, problem=problem.strerror) from problem

    def next_job(self) -> str:
        """Give the next job id, <number>.<host>; no number is given twice."""
        with open(self.home / "server_priv" / "serial", "a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            number = int(file.read().strip() or "0") + 1
            file.truncate(0)
            file.write(str(number))
        return f"{number}.{os.uname().nodename}"

    def add(
        self,
        job: str,
        record: Details,
        script: bytes,
        owner: Owner,
        parent: Path | None,
        processors: int = 1,
    ) -> None:
        """Write the script and the record of a job; make its node file and CKPTDIR.

        CKPTDIR is made as the user where he has named a directory (-c dir=).
        """
        with Directory.open(self.home / "mom_priv" / "jobs") as jobs:
            jobs.write_whole(f"{job}.SC", script, 0o700, limit=ANY_SIZE)
            os.chown(f"{job}.SC", owner.uid, owner.gid, dir_fd=jobs.fd, follow_symlinks=False)
            jobs.write_whole(f"{job}.JB", typed_json.dump(record), 0o644)
            os.chmod(f"{job}.JB", 0o644, dir_fd=jobs.fd)
        with Directory.open(self.home / "aux") as aux:
            aux.write_whole(job, f"{os.uname().nodename}\n".encode() * processors, 0o644)
            os.chmod(job, 0o644, dir_fd=aux.fd)
        checkpoint_dir = self.checkpoint_dir(job, parent)
        if parent is None:
            checkpoint_dir.mkdir(mode=0o755, exist_ok=True)
            os.chown(checkpoint_dir, owner.uid, owner.gid)
            return
        try:
            with privileges.acting_as(owner):
                checkpoint_dir.mkdir(mode=0o755, exist_ok=True)
        except OSError as problem:
            raise StoreNotWritable(path=checkpoint_dir, problem=problem.strerror) from problem

    def record(self, job: str) -> Details:
        """Read the record of a job; MomGone when there is no such job."""
        try:
            with Directory.open(self.home / "mom_priv" / "jobs") as jobs:
                return typed_json.from_json(Details, typed_json.load(jobs.read(f"{job}.JB")))
        except (OSError, typed_json.Malformed) as problem:
            remedy = "`torqueckpt list` shows the images that it left"
            raise MomGone(job=job, remedy=remedy) from problem

    def remove(self, job: str) -> None:
        """Remove all of a job that has ended, except CKPTDIR's content, which is the user's."""
        for directory, name in (
            ("mom_priv/jobs", f"{job}.SC"),
            ("mom_priv/jobs", f"{job}.JB"),
            ("aux", job),
            ("sock", job),
        ):
            (self.home / directory / name).unlink(missing_ok=True)
        with Directory.open(self.home / "checkpoint") as checkpoints:
            checkpoints.remove_tree(f"{job}.CK")

    def open_outputs(self, job: str, owner: Owner, joined: str) -> tuple[int, int]:
        """Make <id>.OU and .ER, empty, the user's; gives descriptors that append to them.

        joined: oe or eo, where one of the two takes both.

        What lay there, since it could not be delivered, is put aside until outputs_settled().
        """
        with Directory.open(self.outputs()) as spool:
            if joined:
                both = _new_output(spool, f"{job}.{'ER' if joined == 'eo' else 'OU'}", owner)
                return both, os.dup(both)
            return _new_output(spool, f"{job}.OU", owner), _new_output(spool, f"{job}.ER", owner)

    def outputs_settled(self, job: str, serve: bool) -> None:
        """After a restart: the new files hold all of the output so far, or go for the old ones."""
        with Directory.open(self.outputs()) as spool:
            for name in (f"{job}.OU", f"{job}.ER"):
                if not serve:
                    spool.remove(name)
                    if spool.has(f"{name}{_ASIDE}"):
                        spool.rename(f"{name}{_ASIDE}", name)
                spool.remove(f"{name}{_ASIDE}")

    def outputs(self) -> Path:
        return self.home / "spool"

    def script(self, job: str) -> Path:
        return self.home / "mom_priv" / "jobs" / f"{job}.SC"

    def checkpoint_dir(self, job: str, parent: Path | None = None) -> Path:
        """The path of CKPTDIR, in `parent` when -c dir= names one."""
        return (parent or self.home / "checkpoint") / f"{job}.CK"

    def socket(self, job: str) -> Path:
        return self.home / "sock" / job

    def node_file(self, job: str) -> Path:
        return self.home / "aux" / job


def _new_output(spool: Directory, name: str, owner: Owner) -> int:
    if spool.has(name):
        spool.rename(name, f"{name}{_ASIDE}")
    fd = spool.open_file(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND)
    os.fchown(fd, owner.uid, owner.gid)
    return fd
