# SPDX-License-Identifier: MIT
"""qsub's options of `torqueckpt run`: jobs that start as qsub would have them start."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support import Site, User, counting, lines, wait_until

_TELLS = """#!/bin/bash
{directives}
echo "dir $PWD"
echo "umask $(umask)"
echo "shell $SHELL $(ps -o args= -p $PPID)"
echo "arguments $*"
echo "slots $PBS_NP $PBS_NUM_PPN $(grep -c . $PBS_NODEFILE) ${{NCPUS:-}}"
echo "walltime $PBS_WALLTIME"
echo "member $PBS_ARRAYID"
echo "from $PBS_O_WORKDIR"
echo "variables ${{A:-}} ${{B:-}}"
echo problem >&2
"""


class Told:
    """A job that tells how it was started, and where its output went."""

    def __init__(self, site: Site, user: User, *options: str, directives: str = "") -> None:
        self.directory = user.directory()
        (self.directory / "sub").mkdir(0o777)
        (self.directory / "sub").chmod(0o777)
        script = user.script(_TELLS.format(directives=directives), self.directory)
        running = site.start(user, script, *options, arguments=("one",))
        assert running.wait() == 0
        self.number, self.job = running.number, running.job
        self.said = running.stderr.read_text()

    def of(self, path: Path | str) -> dict[str, str]:
        text = (self.directory / path).read_text()
        pairs = (line.partition(" ") for line in text.splitlines())
        return {name: value for name, _, value in pairs}


def test_a_job_without_options(site: Site, user: User) -> None:
    told = Told(site, user)
    found = told.of(f"run_job.sh.o{told.number}")
    assert found == {
        **{"dir": str(told.directory), "from": str(told.directory), "umask": "0022"},
        **{"shell": "/bin/bash -bash", "arguments": "one", "slots": "1 1 1 "},
        **{"walltime": "", "member": "", "variables": " "},
    }
    assert told.of(f"run_job.sh.e{told.number}") == {"problem": ""}
    assert told.said == ""


@pytest.mark.parametrize("in_script", [True, False])
def test_what_is_played(site: Site, user: User, in_script: bool) -> None:
    variables = "A=\"a,b\",B='c d'"
    options: tuple[str, ...] = ("-l", "walltime=5:00, nodes=1:ppn=4", "-v", variables)
    options += ("-S", "/bin/sh", "-d", "sub", "-W", "umask=077", "-F", "'two three'", "-t", "7")
    options += ("-j", "eo", "-e", "$PBS_JOBNAME.$PBS_ARRAYID.${PBS_JOBID}")
    words = "\n".join(
        f"#PBS {letter} '{value}'" if "'" not in value else f'#PBS {letter} "{value}"'
        for letter, value in zip(options[::2], options[1::2])
        if letter != "-v"
    )
    given = ("-N", "run_job.sh", *(("-v", variables) if in_script else options))
    told = Told(site, user, *given, directives=words if in_script else "")
    output = told.directory / f"sub/run_job.sh.7.{told.job}"
    found = told.of(output)
    assert found == {
        **{"dir": f"{told.directory}/sub", "from": str(told.directory), "umask": "0077"},
        **{"shell": "/bin/sh -sh", "arguments": "one two three", "slots": "4 4 4 "},
        **{"walltime": "300", "member": "7", "variables": "a,b c d", "problem": ""},
    }
    assert output.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (told.directory / "sub").iterdir()] == [output.name]
    assert told.said == ""


def test_kept_output_goes_home_and_an_openpbs_job_has_its_processors(
    site: Site, user: User
) -> None:
    told = Told(site, user, "-k", "o", "-l", "select=1:ncpus=4:mpiprocs=2", "-w", "sub", "-t", "7")
    kept = user.home / f"run_job.sh.o{told.number}-7"
    try:
        found = told.of(kept)
        assert found["slots"] == "2 2 2 4"
        assert found["from"] == found["dir"] == f"{told.directory}/sub"
        assert told.of(f"sub/run_job.sh.e{told.number}-7") == {"problem": ""}
    finally:
        kept.unlink()


def test_what_is_not_played_is_named_in_one_line(site: Site, user: User) -> None:
    header = "#PBS -q batch\n#PBS -l mem=4gb,nodes=2:ppn=2\n#PBS -m abe"
    told = Told(site, user, "-A", "physics", directives=header)
    line = "not played here: -q batch, -m abe, -A physics, -l mem=4gb, -l nodes=2:ppn=2 (in part)"
    assert told.said == f"torqueckpt: {line}\n"


def test_an_option_behind_the_script_is_the_scripts_and_that_is_said(
    site: Site, user: User
) -> None:
    directory = user.directory()
    script = user.script("#!/bin/sh\necho $*\n", directory)
    running = site.start(user, script, arguments=("-c", "c=1"))
    assert running.wait() == 0
    assert running.out() == "-c c=1\n"
    said = running.stderr.read_text()
    assert said == f"torqueckpt: -c is the script's; options of qsub stand before {script}\n"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("-j", "xx"), "-j xx: oe, eo or n"),
        (("-t", "1-3"), "-t 1-3: arrays are not played; -t N runs one member of it"),
        (("-o", "$NOSUCH/x"), "-o $NOSUCH/x: $NOSUCH is no variable"),
        (("-d", "/nowhere"), "-d /nowhere: no such directory"),
        (("-v", "A='x"), "a quote ' is not closed"),
        (("-l", "nodes=1:ppn=x"), "-l nodes=1:ppn=x: "),
    ],
)
def test_a_bad_value_is_one_line_and_no_job(
    site: Site, user: User, given: tuple[str, str], told: str
) -> None:
    script = user.script("#!/bin/sh\ntouch ran\n", user.directory())
    answer = site.call(None, "run", "--user", user.name, *given, str(script))
    assert answer.returncode == 125
    assert told in answer.stderr and answer.stderr.count("\n") == 1
    assert not (script.parent / "ran").exists()


def test_lines_with_another_prefix_are_read_instead(site: Site, user: User) -> None:
    header = "#PBS -q batch\n#MINE -m abe\n#MINE -d sub"
    told = Told(site, user, "-C", "#MINE", directives=header)
    assert told.said == "torqueckpt: not played here: -m abe\n"
    assert told.of(f"sub/run_job.sh.o{told.number}")["dir"] == f"{told.directory}/sub"


def test_a_quote_that_stays_open_in_the_header_is_told(site: Site, user: User) -> None:
    script = user.script("#!/bin/sh\n#PBS -N 'x\ntouch ran\n", user.directory())
    answer = site.call(None, "run", "--user", user.name, str(script))
    assert (answer.returncode, answer.stderr.count("\n")) == (125, 1)
    assert f"{script}: #PBS -N 'x: no closing '" in answer.stderr
    assert not (script.parent / "ran").exists()


@pytest.mark.parametrize("joined", ["oe", "eo"])
def test_a_job_whose_output_is_joined_is_held_and_goes_on(
    site: Site, user: User, joined: str
) -> None:
    directory = user.directory()
    script = user.script(counting(40), directory)
    running = site.start(user, script, "-c", "enabled", "-j", joined)
    spooled = site.spool / "spool" / f"{running.job}.{'OU' if joined == 'oe' else 'ER'}"
    wait_until(lambda: "line 3\n" in spooled.read_text())
    assert site.call(user, "hold", running.job).returncode == 0
    assert site.call(user, "release", running.job).returncode == 0
    assert running.wait() == 7
    letter = joined[0]
    assert (directory / f"run_job.sh.{letter}{running.number}").read_text() == lines(40)
    other = "e" if letter == "o" else "o"
    assert not (directory / f"run_job.sh.{other}{running.number}").exists()


def test_a_resume_job_asks_for_the_processors_again(site: Site, user: User) -> None:
    directory = user.directory()
    limits = ("-l", "nodes=1:ppn=2,walltime=1:00:00")
    running = site.start(user, user.script(counting(40), directory), "-c", "enabled", *limits)
    running.wait_for_line(2)
    assert site.call(user, "checkpoint", running.job).returncode == 0
    running.crash()
    script = directory / "resume_job.sh"
    made = site.call(user, "resume-job", running.job, "-o", str(script))
    assert made.returncode == 0, made.stderr
    text = script.read_text()
    assert f"#PBS -l nodes={os.uname().nodename}:ppn=2\n" in text
    assert "#PBS -l walltime=1:00:00\n" in text
