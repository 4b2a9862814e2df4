# SPDX-License-Identifier: MIT
"""The prologue check, run as pbs_mom runs it, with a qstat that answers as one of 6.1 does."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from torqueckpt import render

_GOOD = [
    "enabled",
    "periodic,interval=10,depth=3",
    "c=5",
    "enabled,dir=/scratch/a_b-c.1/x@y,name=run:2",
    "enabled,dir=/scratch/50%,depth=2",
]
_BAD = [
    "enabled,dir=/tmp/x;id",
    "enabled,depth=1;id",
    "enabled,dir=/tmp/$(id)",
    "enabled,dir=/tmp/`id`",
    "enabled,dir=/tmp/x|id",
    "enabled,dir=/tmp/x&id",
    "enabled,dir=/tmp/x\nid",
    "enabled,dir=/tmp/x id",
    "enabled,dir=/tmp/x>/etc/passwd",
    "enabled,dir=/tmp/</Checkpoint>;id",
    "enabled,dir=/tmp/<Checkpoint>;id",
    "enabled,dir=/tmp/*",
    "enabled,dir=~root",
    "enabled,dir=/tmp/'x'",
    'enabled,dir=/tmp/"x"',
    "enabled,dir=/tmp/x\\",
    "enabled,dir=/tmp/é",
]


class Prologue:
    """The check with stand-ins for qstat and qalter."""

    def __init__(self, top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.top = top
        self.check = top / "prologue"
        self.comment = top / "comment"
        values = {"qstat": f"{top}/qstat", "qalter": f"{top}/qalter", "here": "/x/prologue"}
        self.check.write_text(render.render("torque/prologue_check.sh.j2", values))
        self.program("qalter", f'printf "%s\\n" "$@" >{shlex.quote(str(self.comment))}')
        self.check.chmod(0o500)

    def program(self, name: str, body: str) -> None:
        (self.top / name).write_text(f"#!/bin/sh\n{body}\n")
        (self.top / name).chmod(0o755)

    def answer(self, attributes: dict[str, str], *, escaped: bool = True) -> None:
        """What qstat -x gives for the job."""
        text = "".join(
            f"<{name}>{escape(value) if escaped else value}</{name}>"
            for name, value in attributes.items()
        )
        answer = self.top / "answer"
        job = f"<Job_Id>7.srv</Job_Id>{text}"
        answer.write_text(f'<?xml version="1.0"?>\n<Data><Job>{job}</Job></Data>')
        self.program("qstat", f'[ "$1 $2" = "-x 7.srv" ] && cat {shlex.quote(str(answer))}')

    def run(self) -> subprocess.CompletedProcess[str]:
        words = ["7.srv", "ann", "users", "name", "", "batch", "", "/spool/7.srv.SC"]
        return subprocess.run(
            [self.check, *words], capture_output=True, text=True, env={"PATH": "/bin:/usr/bin"}
        )


@pytest.fixture
def prologue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prologue:
    return Prologue(tmp_path, monkeypatch)


@pytest.mark.parametrize("value", _GOOD)
def test_ordinary_jobs_go_on(prologue: Prologue, value: str) -> None:
    job = {"Job_Name": "a;b", "Checkpoint": value, "Variable_List": "A=$(id);<x>\ny"}
    prologue.answer({**job, "checkpoint_dir": "/var/spool/checkpoint-pointers"})
    finished = prologue.run()
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")
    assert not prologue.comment.exists()


@pytest.mark.parametrize("value", _BAD)
@pytest.mark.parametrize("escaped", [True, False])
def test_what_a_shell_would_act_on_is_refused(
    prologue: Prologue, value: str, escaped: bool
) -> None:
    prologue.answer({"Checkpoint": value, "Job_Name": "a"}, escaped=escaped)
    finished = prologue.run()
    assert finished.returncode == 1 and "refused: its Checkpoint" in finished.stderr
    comment = prologue.comment.read_text().splitlines()
    assert comment[0] == "-W" and comment[1].startswith("comment=refused: ")
    assert "," not in comment[1] and comment[1].count("=") == 1 and comment[2] == "7.srv"


@pytest.mark.parametrize("name", ["checkpoint_dir", "checkpoint_name"])
def test_attributes_that_were_altered_are_looked_at_too(prologue: Prologue, name: str) -> None:
    prologue.answer({"Checkpoint": "enabled", name: "/tmp/x;id"})
    assert prologue.run().returncode == 1


def test_a_job_whose_variables_hold_tags_harms_itself_only(prologue: Prologue) -> None:
    variables = "A=<Checkpoint>n</Checkpoint>"
    job = {"Checkpoint": "enabled,dir=/tmp/x;id", "Variable_List": variables}
    prologue.answer(job, escaped=False)
    assert prologue.run().returncode == 1


@pytest.mark.parametrize("body", ["exit 153", "exit 0", "echo nonsense", "kill -9 $$", "exec 1>&-"])
def test_a_server_that_does_not_answer_has_the_job_queued_again(
    prologue: Prologue, body: str
) -> None:
    """Exit status 2 is pbs_mom's to give a job back; with 1 it would be lost, with 0 unchecked."""
    prologue.program("qstat", body)
    finished = prologue.run()
    assert finished.returncode == 2
    (told,) = (line for line in finished.stderr.splitlines() if line != "Killed")  # sh's own word
    assert told.startswith("torqueckpt: job 7.srv is not started: ")


def test_no_qstat_at_all_has_the_job_queued_again(prologue: Prologue) -> None:
    assert prologue.run().returncode == 2


def test_no_qalter_refuses_all_the_same(prologue: Prologue) -> None:
    (prologue.top / "qalter").unlink()
    prologue.answer({"Checkpoint": "enabled,dir=/tmp/x;id"})
    assert prologue.run().returncode == 1
