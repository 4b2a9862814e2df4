# SPDX-License-Identifier: MIT
"""The resume job of an LSF job has #BSUB lines with what the job asked for, and bsub takes it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.unit import samples
from torqueckpt import paths
from torqueckpt.batch import job_details
from torqueckpt.batch.lsf import bsub
from torqueckpt.errors import NotSubmitted, PerhapsSubmitted
from torqueckpt.identity import Owner
from torqueckpt.manifest import Directive, Manifest
from torqueckpt.process import proc
from torqueckpt.resubmit import lsf_job
from torqueckpt.settings import Settings

_GOLDEN = Path(__file__).parent / "golden" / "lsf" / "resume_job.sh"
_SCRIPT = """#!/bin/sh
#BSUB -q night -W 8:00   # a comment
#BSUB -R "rusage[mem=4000] select[type==any]"
#BSUB -J 'my job'
#BSUB -w "done(99)" -m other
#BSUB -n 4 -x
#BSUB -o "it's
echo "#BSUB -P not-this"
sleep 1
#BSUB -M 4000000
"""
_TOLD = {
    **{"LSB_JOBID": "101", "LSB_JOBINDEX": "0", "LSB_QUEUE": "guests", "LOGNAME": "ann"},
    **{"LSB_JOBNAME": "my job", "LSB_PROJECT_NAME": "atlas", "LS_SUBCWD": "/home/ann"},
    **{"LSB_DJOB_NUMPROC": "4", "LSB_OUTPUTFILE": "/home/ann/out.101"},
}


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "program", lambda place, name: Path("/usr/local") / place / name)
    monkeypatch.setattr(paths, "settings_file", lambda: Path("/nowhere/torqueckpt.toml"))


def _asked(place: Path, **environment: str) -> dict[str, str]:
    (place / "1700000000.101.shell").write_text(_SCRIPT)
    given = {**_TOLD, "LSB_JOBFILENAME": str(place / "1700000000.101"), **environment}
    return dict(bsub.asked(given))


def _manifest(directives: tuple[Directive, ...], job: str = "101") -> Manifest:
    return samples.a_manifest(job=samples.job(id=job, directives=directives), host="node1")


def test_the_script_and_the_environment_say_what_was_asked_for(tmp_path: Path) -> None:
    assert _asked(tmp_path) == {
        **{"q": "guests", "W": "8:00", "R": "rusage[mem=4000] select[type==any]", "J": "my job"},
        **{"n": "4", "M": "4000000", "P": "atlas", "o": "/home/ann/out.101"},
    }


def test_a_member_of_an_array_goes_on_alone_and_one_slot_is_the_default(tmp_path: Path) -> None:
    found = _asked(tmp_path, LSB_JOBNAME="many[1-9]", LSB_DJOB_NUMPROC="1")
    assert (found["J"], found.get("n")) == ("many", None)
    assert dict(bsub.asked({"LSB_JOBID": "1", "LSB_JOBNAME": "x" * 5000})) == {}


def test_limits_count_however_they_are_written_and_all_of_several_resources(
    tmp_path: Path,
) -> None:
    text = """#!/bin/sh
#BSUB -W8:00 -M4000 -R"rusage[mem=4000]" -cwd /tmp -We 10
#BSUB -c 7:30 -v 9000 -p 20 -T 8 -F 100
#BSUB -R 'select[type==any]'
"""
    (tmp_path / "1.101.shell").write_text(text)
    found = bsub.asked({"LSB_JOBFILENAME": str(tmp_path / "1.101")})
    assert sorted(found) == sorted(
        [
            *(("W", "8:00"), ("M", "4000"), ("R", "rusage[mem=4000]"), ("R", "select[type==any]")),
            *(("c", "7:30"), ("v", "9000"), ("p", "20"), ("T", "8"), ("F", "100")),
        ]
    )


def test_a_jobs_details_are_lsfs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(proc, "environment", lambda _pid: _TOLD)
    found = job_details.of_job("101", 1, "#PBS -q none\n", Settings(local_home=tmp_path))
    assert (found.name, found.submit_dir, found.owner) == ("my job", "/home/ann", "ann")
    assert Directive("q", "guests") in found.directives


def test_the_script_is_as_it_was_agreed_on(tmp_path: Path) -> None:
    manifest = _manifest(tuple(Directive(*each) for each in _asked(tmp_path).items()))
    made = lsf_job.text(manifest, "101", Settings(), None)
    if os.environ.get("UPDATE_GOLDEN"):
        _GOLDEN.write_text(made)
    assert made == _GOLDEN.read_text()
    subprocess.run(["/bin/sh", "-n"], input=made, text=True, check=True)
    shared = lsf_job.text(manifest, "101", Settings(store_shared=True), 3, ("--force it",))
    assert "#BSUB -m" not in shared and "#BSUB -R 'span[hosts=1]'" in shared
    assert shared.endswith(
        "exec /usr/local/bin/torqueckpt resume --generation 3 '--force it' 101\n"
    )


@pytest.mark.parametrize(
    "value", ["$(touch ran)", "`touch ran`", "a'b", '"', "x\n touch ran", "x\r\n#BSUB -q other"]
)
def test_nothing_that_a_job_was_called_is_run_or_read_as_an_option(
    value: str, tmp_path: Path
) -> None:
    made = lsf_job.text(_manifest((Directive("J", value),)), "101", Settings(), None)
    body = made.replace("/usr/local/bin/torqueckpt", "true")
    subprocess.run(["/bin/sh"], input=body, text=True, check=True, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []
    (read,) = [dict(bsub._of_script(made)).get("J", "")]
    assert read == (value if value.isprintable() else "")
    assert "q" not in dict(bsub._of_script(made))
    assert ("# Left out, no line can hold it: -J" in made) == (not value.isprintable())


def test_the_old_jobs_number_in_names_becomes_the_new_ones() -> None:
    wanted = [Directive("o", "/x/out.101"), Directive("e", "/x1101/101/err"), Directive("J", "101")]
    assert [value for _, value in bsub.resumed(wanted, "101[3]", "")] == [
        "/x/out.%J",
        "/x1101/%J/err",
        "101",
    ]


def test_bsubs_answer() -> None:
    answer = "notice: <tonight>\nJob <202> is submitted to queue <night>.\nhave a nice day\n"
    assert bsub.submitted(answer) == ("202", ["notice: <tonight>", "have a nice day"])
    aborted = "Request aborted by esub. Job not submitted."
    assert bsub.submitted(f"{aborted}\n") == ("", [aborted])


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("echo 'Request aborted by esub. Job not submitted.' >&2; exit 255", "aborted by esub"),
        ("echo nonsense", "may be there all the same.*named no job"),
        ("", "there is no bsub on the PATH, nor in LSF_BINDIR"),
    ],
)
def test_what_bsub_does_not_take_is_told(
    program: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("LSF_ENVDIR", str(tmp_path))
    if program:
        (tmp_path / "bsub").write_text(f"#!/bin/sh\n{program}\n")
        (tmp_path / "bsub").chmod(0o755)
    owner = Owner("ann", 1000, 1000, ())
    said: list[str] = []
    with pytest.raises((NotSubmitted, PerhapsSubmitted), match=told):
        lsf_job.submit("#!/bin/sh\n", "101", _manifest(()), owner, Settings(), said.append)
    assert said == (["nonsense"] if program == "echo nonsense" else [])
