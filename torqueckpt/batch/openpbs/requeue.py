# SPDX-License-Identifier: MIT
"""Have OpenPBS start a job anew that it would restart itself, so that its limits count.

A job that MOM restarts (restart_transmogrify) never has its walltime clock started, and MOM then
kills it within seconds for exceeding its limit (start_walltime() is called nowhere on that way).
A job that is queued again is an ordinary one: the launch hook has it go on from its image.
root@node must be an operator of the server.
"""

from __future__ import annotations

import re
import time

from torqueckpt import log
from torqueckpt.batch.openpbs.comment import as_mom_was_started
from torqueckpt.batch.server import Afresh
from torqueckpt.errors import TorqueCkptError
from torqueckpt.ifl.errors import UnknownJob
from torqueckpt.ifl.records import Job
from torqueckpt.settings import Settings

_HOLD = "o"  # an operator's, so that no scheduler starts the job before it is to start
_AGAIN_AFTER_SECONDS = 20
_POLL_SECONDS = 0.2
_ASKED = ("job_state", "exec_host")


def requeue(job: str, settings: Settings, stays_held: str) -> None:
    """Queue the job again; returns once it may start, or is gone.

    MOM waits for us meanwhile and runs nothing, so a server that is silent is asked again, for
    ever.  The job starts on the node that it was on, where its images lie, unless all nodes share
    the store.  stays_held: why it would start from the beginning and is left held instead, or "".
    """
    as_mom_was_started()
    server, node = Afresh(settings), ""
    while True:
        try:
            status = server.job(job, _ASKED)
            node = node or ("" if settings.store_shared else _node(status))
            if status.state in ("R", "E"):  # else it was queued again, and we were not told so
                server.hold(job, _HOLD)
                server.rerun(job, force=True)
            _wait_until_queued(server, job)
            _let_go(server, job, node, stays_held)
            return
        except UnknownJob:
            return
        except TorqueCkptError as refusal:
            log.error(f"{job}: not queued again yet, for its restart: {refusal}")
        time.sleep(_AGAIN_AFTER_SECONDS)


def _wait_until_queued(server: Afresh, job: str) -> None:
    while server.job(job, ("job_state",)).state in ("R", "E"):
        time.sleep(_POLL_SECONDS)


def _let_go(server: Afresh, job: str, node: str, stays_held: str) -> None:
    if stays_held:
        server.comment(job, f"torqueckpt: held: {log.one_line(stays_held)}, then qrls -h o {job}")
        return
    selected = server.job(job, ("Resource_List",)).resource("Resource_List", "select")
    if node and selected:
        server.alter(job, {"Resource_List": {"select": on_host(selected, node)}})
    server.release(job, _HOLD)


def _node(status: Job) -> str:
    """The host that the job was on, as its select names hosts."""
    return status.text("exec_host").partition("/")[0]


def on_host(select: str, host: str) -> str:
    """The same select, each chunk on that host: of one that names a host or vnode, as it was."""
    chunks = select.split("+")
    return "+".join(
        each if re.search(r"(^|:)(host|vnode)=", each) else f"{each}:host={host}" for each in chunks
    )
