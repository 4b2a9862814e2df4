# SPDX-License-Identifier: MIT
"""Find a job's name, -c, directory, queue and grid VO, which a call's arguments do not have."""

from __future__ import annotations

import grp
from collections.abc import Mapping
from typing import NamedTuple

from torqueckpt import typed_json
from torqueckpt.batch import directives
from torqueckpt.batch.lsf import bsub
from torqueckpt.manifest import Directive
from torqueckpt.process import proc, tree, worker
from torqueckpt.safe_files import Directory
from torqueckpt.settings import Settings

_QUEUES = ("PBS_QUEUE", "LSB_QUEUE")
# What tells a grid's job: gLite's and EDG's job wrappers set the first two, Globus GRAM the third.
_GRID = ("GLITE_WMS_JOBID", "EDG_WL_JOBID", "GLOBUS_GRAM_JOB_CONTACT")
_LOOKED_AT = 50  # processes; wrappers stand at the top of the tree
_NAMES_SECONDS = 10.0
_LONGEST = 64  # characters: a job's environment is whatever its owner likes


class Details(NamedTuple):
    """A job's details, empty where unknown.

    The local MOM writes them down as its record of the job.
    """

    owner: str
    name: str
    spec: str
    submit_dir: str
    directives: tuple[Directive, ...]


def of_job(job: str, leader_pid: int, script: str, settings: Settings) -> Details:
    """Read a job's details from the local MOM's record, else from its script and environment."""
    try:
        with Directory.open(settings.local_home / "mom_priv" / "jobs") as jobs:
            return typed_json.from_json(Details, typed_json.load(jobs.read(f"{job}.JB")))
    except (OSError, typed_json.Malformed):
        environment = proc.environment(leader_pid)
        if "LSB_JOBID" in environment and "PBS_JOBID" not in environment:
            return Details(
                owner=environment.get("LOGNAME", ""),
                name=environment.get("LSB_JOBNAME", ""),
                spec="",
                submit_dir=environment.get("LS_SUBCWD", ""),
                directives=tuple(bsub.asked(environment)),
            )
        mark = environment.get("PBS_DPREFIX", directives.PREFIX)  # OpenPBS's qsub goes by it
        found = directives.read(script, mark) or directives.read(script)
        return Details(
            owner=environment.get("LOGNAME", ""),
            name=environment.get("PBS_JOBNAME", ""),
            spec=next((d.value for d in found if d.option == "c"), ""),
            submit_dir=environment.get("PBS_O_WORKDIR", ""),
            directives=tuple(found),
        )


def facts(pid: int, settings: Settings) -> dict[str, str]:
    """The batch system (lsf), queue and VO of a process's job, for a line of the journal.

    A grid's wrapper exports for its children what it was not started with itself, so these are
    asked too.  What nobody knows is left out; a job without `vo` is a local user's.
    """
    root = proc.stat(pid)
    found: dict[str, str] = {}
    pool = ""
    for each in tree.below(root)[:_LOOKED_AT] if root is not None else ():
        environment = proc.environment(each.pid)
        if "LSB_JOBID" in environment and "PBS_JOBID" not in environment:
            found["batch"] = "lsf"
        _add(found, "queue", _first(environment, _QUEUES))
        _add(found, "vo", _first(environment, settings.vo_variables))
        if not pool and _first(environment, _GRID):
            pool = _group(each.pid)
    _add(found, "vo", pool)
    return found


def _add(found: dict[str, str], name: str, value: str) -> None:
    if value and name not in found:
        found[name] = value[:_LONGEST]


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((environment[name] for name in names if environment.get(name)), "")


def _group(pid: int) -> str:
    """The name of the process's group: a grid's pool accounts have a group named like their VO."""
    credentials = proc.credentials(pid)
    if credentials is None:
        return ""
    found = worker.answered(lambda: _named(credentials.gids[0]), _Group, _NAMES_SECONDS)
    return found.name if found is not None else ""


class _Group(NamedTuple):
    """A group, as a worker has looked it up: the name service may hang."""

    name: str


def _named(gid: int) -> _Group:
    try:
        return _Group(grp.getgrgid(gid).gr_name)
    except KeyError:
        return _Group("")
