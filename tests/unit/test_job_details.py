# SPDX-License-Identifier: MIT
"""Queue and VO of a job are told by its processes' environments, wrappers' exports among them."""

from __future__ import annotations

import grp
import os
import subprocess
from collections.abc import Callable

import pytest

from tests.unit import real
from torqueckpt.batch import job_details
from torqueckpt.manifest import Directive
from torqueckpt.process import proc
from torqueckpt.settings import Settings

Start = Callable[..., "subprocess.Popen[bytes]"]
_SETTINGS = Settings()


def _facts(started: Start, script: str = "sleep 60 & wait", **environment: str) -> dict[str, str]:
    job = started("/bin/sh", "-c", script, env={"PATH": os.environ["PATH"], **environment})
    real.until(lambda: any(map(_runs_sleep, proc.children(job.pid))), "its child")
    return job_details.facts(job.pid, _SETTINGS)


def _runs_sleep(pid: int) -> bool:
    return proc.argv(pid)[:1] == ["sleep"]


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({}, {}),
        ({"PBS_QUEUE": "long", "PBS_JOBID": "1.srv"}, {"queue": "long"}),
        ({"LSB_QUEUE": "night", "LSB_JOBID": "1"}, {"batch": "lsf", "queue": "night"}),
        ({"LCG_GFAL_VO": "atlas"}, {"vo": "atlas"}),
        ({"GLITE_SD_VO": "cms", "GLITE_WMS_JOBID": "https://x/1"}, {"vo": "cms"}),
        ({"LCG_GFAL_VO": "", "GLITE_SD_VO": "cms"}, {"vo": "cms"}),
        ({"PBS_QUEUE": "q" * 500}, {"queue": "q" * 64}),
        ({"LOGNAME": "cms", "X509_USER_PROXY": "/tmp/x"}, {}),
    ],
)
def test_what_the_environment_says(
    started: Start, environment: dict[str, str], told: dict[str, str]
) -> None:
    assert _facts(started, **environment) == told


def test_what_a_wrapper_exports_is_found_in_its_children(started: Start) -> None:
    script = "export LCG_GFAL_VO=biomed; sleep 60 & wait"
    assert _facts(started, script, PBS_QUEUE="grid") == {"queue": "grid", "vo": "biomed"}


@pytest.mark.parametrize("mark", ["GLITE_WMS_JOBID", "EDG_WL_JOBID", "GLOBUS_GRAM_JOB_CONTACT"])
def test_a_grid_job_that_names_no_vo_counts_for_its_accounts_group(
    started: Start, mark: str
) -> None:
    assert _facts(started, **{mark: "https://ce/1"}) == {"vo": grp.getgrgid(os.getgid()).gr_name}


def test_of_a_process_that_is_gone_nothing_is_known() -> None:
    ended = subprocess.Popen(["/bin/true"])
    ended.wait()
    assert job_details.facts(ended.pid, _SETTINGS) == {}


def test_a_site_names_its_own_variables(started: Start) -> None:
    job = started("/bin/sleep", "60", env={"SITE_VO": "theophys", "LCG_GFAL_VO": "x"})
    real.execed(job.pid, "/bin/sleep")
    assert job_details.facts(job.pid, Settings(vo_variables=("SITE_VO",))) == {"vo": "theophys"}


def test_directives_are_those_with_the_mark_that_the_site_has_set(started: Start) -> None:
    job = started("/bin/sleep", "60", env={"PBS_DPREFIX": "#SITE"})
    real.execed(job.pid, "/bin/sleep")
    for script, name in (("#SITE -N a\n#PBS -N b\n", "a"), ("#PBS -N b\n", "b")):
        found = job_details.of_job("1.srv", job.pid, script, _SETTINGS)
        assert found.directives == (Directive("N", name),)
