# SPDX-License-Identifier: MIT
"""What the batch system knows of a job beyond the arguments of its call: name, -c, directory."""

from __future__ import annotations

from dataclasses import dataclass

from torqueckpt import manifest
from torqueckpt.batch import directives
from torqueckpt.manifest import Directive
from torqueckpt.paths import Directory
from torqueckpt.process import proc
from torqueckpt.settings import Settings


@dataclass(frozen=True)
class Details:
    """Empty where nobody knows; the local MOM writes them down as its record of the job."""

    owner: str
    name: str
    spec: str
    submit_dir: str
    directives: tuple[Directive, ...]


def of_job(job: str, leader_pid: int, script: str, settings: Settings) -> Details:
    """From the local MOM's record of the job, else from its script and its leader's environment."""
    try:
        with Directory.open(settings.local_home / "mom_priv" / "jobs") as jobs:
            return manifest.from_json(Details, manifest.load(jobs.read(f"{job}.JB")))
    except (OSError, manifest.Malformed):
        environment = proc.environment(leader_pid)
        found = directives.read(script)
        return Details(
            owner=environment.get("LOGNAME", ""),
            name=environment.get("PBS_JOBNAME", ""),
            spec=next((d.value for d in found if d.option == "c"), ""),
            submit_dir=environment.get("PBS_O_WORKDIR", ""),
            directives=tuple(found),
        )
