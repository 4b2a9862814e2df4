# SPDX-License-Identifier: MIT
"""Commands of torqueckpt on the pages of docs/ and in README.md, run as they stand there.

A job of its own stands for 12.node1, a directory for the places of the pages, a MOM's and LSF's
files for a site's.  Those in _ELSEWHERE are run by other tests, each with words like these; the
first half of docs/tutorial.md by test_tutorial.py.
"""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from tests.pages import PAGES, TOP, Command, commands
from tests.support import LIMIT_SECONDS, Site, User, counting
from tests.unit.grid_wrappers import WRAPPER

_ELSEWHERE = {  # the beginnings of commands → what has them run
    **dict.fromkeys(("run", "checkpoint", "hold", "held", "release", "delete"), "docs/tutorial.md"),
    "doctor": "tests/job/test_doctor.py",
    "cancel": "tests/batch/test_chains.py",
    **dict.fromkeys(("submit", "status"), "tests/batch/chains.py"),  # what tests of chains share
    "drain": "tests/torque/test_drain.py",
    "resume-job 12[]": "tests/torque/test_arrays.py",
    "resume-job 101": "tests/lsf/test_resume_job.py",
    "modules load": "tests/unit/test_cli_configure.py",
}
_STATUS = {"resume --rehearse": 125, "modules status": 3}  # the job runs; no Altix here
_AS_ROOT = ("configure", "modules")


def _told() -> list[Command]:
    """Once each, in the order of the pages."""
    found = [each for page in PAGES for each in commands(page)]
    ours = [each for each in found if each.words[0] == "torqueckpt" and each.whole]
    return list({each.words: each for each in ours}.values())


def _words(told: Command) -> str:
    return str(told).partition(" ")[2]


def _is(told: Command, beginning: str) -> bool:
    return f"{_words(told)} ".startswith(beginning + ("" if beginning.endswith("[]") else " "))


_HERE = [each for each in _told() if not any(_is(each, other) for other in _ELSEWHERE)]


@pytest.mark.parametrize(("beginning", "where"), _ELSEWHERE.items())
def test_what_is_not_run_here_is_run_there(beginning: str, where: str) -> None:
    text = (TOP / where).read_text()
    verb = beginning.split()[0]
    assert f'"{verb}"' in text or f"torqueckpt {verb} " in text


@pytest.fixture
def elsewhere(site: Site) -> dict[str, str]:
    """The environment in which a MOM's and LSF's files are found."""
    for system, server in (("torque", "$pbsserver"), ("openpbs", "$clienthost")):
        (site.root / f"{system}_home" / "mom_priv").mkdir(parents=True)
        (site.root / f"{system}_home" / "mom_priv" / "config").write_text(f"{server} head\n")
    (site.root / "pointers").mkdir()
    site.configure(pointer_dir=str(site.root / "pointers"))
    lsf = site.root / "lsf"
    for name in ("conf/site/configdir", "etc"):
        (lsf / name).mkdir(parents=True)
    (lsf / "conf/site/configdir/lsb.queues").write_text("Begin Queue\nQUEUE_NAME=a\nEnd Queue\n")
    places = f"LSB_CONFDIR={lsf}/conf\nLSF_SERVERDIR={lsf}/etc\n"
    (lsf / "lsf.conf").write_text(f"{places}LSB_ECHKPNT_METHOD=blcr\n")
    (site.root / "gpfs").mkdir()
    (site.root / "gpfs" / "lsf-ckpt").mkdir(mode=0o1777)
    (site.root / "gpfs" / "lsf-ckpt").chmod(0o1777)
    for name in ("submit-helper.pl", "FILE"):
        (site.root / name).write_text(WRAPPER)
    return {"LSF_ENVDIR": str(lsf), "PATH": os.defpath}


def test_each_does_what_it_is_there_for(site: Site, user: User, elsewhere: dict[str, str]) -> None:
    directory = user.directory()
    running = site.start(user, user.script(counting(600), directory), "-c", "enabled,depth=5")
    for number in range(1, 5):
        running.wait_for_line(number)
        assert subprocess.run(running.hook_argv(name=f"n{number}", depth="5")).returncode == 0
    places = {
        r"\b\d+\.(node1|server)\b": running.job,
        "/tmp/": f"{site.root}/",
        "/gpfs/common": f"{site.root}/gpfs",
        "/opt/globus/lib/perl/Globus/GRAM": str(site.root),
        "FILE…": f"{site.root}/FILE",
    }
    wrong = []
    for told in _HERE:
        words = list(told.words[1:])
        for place, ours in places.items():
            words = [re.sub(place, ours, word) for word in words]
        argv = [str(site.program), *words]
        if words[0] not in _AS_ROOT:
            argv = user.argv(*argv)
        done = subprocess.run(
            argv,
            cwd=directory,
            env={**elsewhere, "PBS_HOME": f"{site.root}/{''.join(words[1:2])}_home"},
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
        )
        expected = next((n for t, n in _STATUS.items() if _is(told, t)), 0)
        if done.returncode != expected:
            wrong.append((str(told), done.returncode, done.stderr))
    assert wrong == [], wrong
    assert len(_HERE) > 25
    assert (site.root / "torque" / "README").exists() and (directory / "resume_job.sh").exists()
