# SPDX-License-Identifier: MIT
"""Putting a planned queue of LSF in place: the links that sbatchd calls, the file, mbatchd told."""

from __future__ import annotations

import os
from pathlib import Path

from torqueckpt import run
from torqueckpt.batch.lsf.lsf_conf import Site
from torqueckpt.errors import ConfigNotWritten, ProgramMissing
from torqueckpt.paths import Directory
from torqueckpt.site import put_config
from torqueckpt.site.config_file import refuse_if_stopped
from torqueckpt.site.lsf_queue import QueuePlan


def put(plan: QueuePlan) -> tuple[list[Path], Path | None]:
    """Gives the links that were made and where the old file is kept, None when nothing changed.

    The links come first: jobs of a queue that names programs which are not there cannot be resumed.
    """
    refuse_if_stopped(plan)
    made = _links(plan)
    return made, put_config.put(plan) if plan.changes else None


def _links(plan: QueuePlan) -> list[Path]:
    if plan.serverdir is None:
        return []
    missing = {n: t for n, t in plan.links.items() if not os.path.lexists(plan.serverdir / n)}
    try:
        with Directory.open(plan.serverdir.resolve()) as directory:
            for name, target in missing.items():
                os.symlink(target, name, dir_fd=directory.fd)
    except OSError as problem:
        raise ConfigNotWritten(file=plan.serverdir, problem=problem.strerror) from problem
    return [plan.serverdir / name for name in missing]


def reconfigure(site: Site) -> str:
    """Have mbatchd read its files again; gives what `badmin reconfig` said."""
    directory = site.directory("LSF_BINDIR")
    if directory is None:
        raise ProgramMissing(program="badmin", problem="LSF_BINDIR is not set")
    argv = [str(directory / "badmin"), "reconfig", "-f"]
    done = run.run(argv, timeout_seconds=120, environment=dict(os.environ))
    if not done.ok:
        raise ProgramMissing(program=argv[0], problem=done.last_line() or done.output.strip())
    return done.output + done.stderr
