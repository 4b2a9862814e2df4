# SPDX-License-Identifier: MIT
"""A manager's connection and an ordinary user's job, for tests against a real server."""

from __future__ import annotations

import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from torqueckpt.ifl.connection import CHANGE, SERVER, Connection
from torqueckpt.ifl.errors import PbsError
from torqueckpt.ifl.library import Library

from .batch import Batch, until


class ServerTests:
    """Base of such tests; a subclass's folder has the fixtures `batch` and `user`."""

    @pytest.fixture
    def pbs(self, batch: Batch) -> Iterator[Connection]:
        """A manager's connection; the scheduler is kept out meanwhile."""
        with Connection(library=Library(str(batch.library)), timeout_seconds=60) as opened:
            opened.manage(CHANGE, SERVER, "", {"scheduling": "False"})
            yield opened
            opened.manage(CHANGE, SERVER, "", {"scheduling": "True"})

    @pytest.fixture
    def job(
        self, batch: Batch, pbs: Connection, user: pwd.struct_passwd, tmp_path: Path
    ) -> Iterator[str]:
        """A job of an ordinary user, queued."""
        job_id = self.submit(batch, user, "sleep 300\n")
        yield job_id
        try:
            pbs.delete(job_id)
        except PbsError:
            return
        until(lambda: self.gone(pbs, job_id), "the job's end")

    def submit(self, batch: Batch, user: pwd.struct_passwd, text: str, **more: str) -> str:
        script = Path(user.pw_dir, "torqueckpt-test.sh")
        script.write_text(f"#!/bin/sh\n{text}")

        attributes = {
            "Job_Name": "torqueckpt",
            "Resource_List": {"walltime": "00:10:00"},
            "Variable_List": f"PBS_O_HOME={user.pw_dir},PBS_O_WORKDIR={user.pw_dir}",
            "Output_Path": f"{batch.server}:/dev/null",
            "Error_Path": f"{batch.server}:/dev/null",
            **more,
        }
        try:
            return str(batch.as_user(user, "submit", str(script), attributes))
        finally:
            script.unlink()

    @staticmethod
    def gone(pbs: Connection, job_id: str) -> bool:
        try:
            return pbs.job(job_id, ["job_state"]).state in ("C", "F")
        except PbsError:
            return True
