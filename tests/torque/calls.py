# SPDX-License-Identifier: MIT
"""The calls that TORQUE alone has, against a real server and its MOM."""

from __future__ import annotations

import pwd
from pathlib import Path

from tests.ifl.batch import Batch
from tests.ifl.server import ServerTests
from torqueckpt.ifl.connection import Connection
from torqueckpt.ifl.library import Library
from torqueckpt.ifl.resmon import ResourceMonitor


class TestTORQUE(ServerTests):
    def test_a_mom_answers_one_question_after_the_other(
        self, batch: Batch, pbs: Connection
    ) -> None:
        monitor = ResourceMonitor(Library(str(batch.library)))
        number = monitor.openrm(pbs.nodes()[0].name, 0)
        assert number > 0
        for question in ("ncpus", "arch", "nosuch"):
            assert monitor.addreq(number, question) == 0
        answers = [monitor.getreq(number) for _ in range(4)]
        assert answers[0] and answers[0].startswith("ncpus=")
        assert answers[1:] == ["arch=linux", "nosuch=? 15201", None]
        assert monitor.closerm(number) == 0
        assert monitor.openrm("127.0.0.1", 1) < 0

    def test_a_chain_of_jobs_waits_by_the_example(
        self, batch: Batch, pbs: Connection, user: pwd.struct_passwd
    ) -> None:
        scripts = [Path(user.pw_dir, f"torqueckpt-{name}.sh") for name in ("one", "two")]
        for script in scripts:
            script.write_text("#!/bin/sh\nexit 0\n")
        try:
            done = batch.example_as(user, "submit_chain.py", *map(str, scripts))
            assert done.returncode == 0, done.stderr
            first, second = done.stdout.split()
            try:
                assert pbs.job(second).text("depend").startswith(f"afterok:{first}")
                assert (pbs.job(first).state, pbs.job(second).state) == ("Q", "H")
            finally:
                pbs.delete(second)
                pbs.delete(first)
        finally:
            for script in scripts:
                script.unlink()
