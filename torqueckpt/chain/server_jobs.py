# SPDX-License-Identifier: MIT
"""Submit, find and delete the jobs of a chain at the batch server."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from torqueckpt import budget, log
from torqueckpt.batch import directives, qsub_options, resource_requests, walltime
from torqueckpt.batch.server import Server, can_alter, connect
from torqueckpt.budget import Budget
from torqueckpt.chain import link_script
from torqueckpt.errors import NotSubmitted, ScriptUnreadable, TorqueCkptError
from torqueckpt.ifl.errors import PbsError, UnknownJob
from torqueckpt.ifl.records import Job
from torqueckpt.resubmit.resubmit import ANSWER_SECONDS, Tell, move_waiting, qsub
from torqueckpt.settings import Settings

_BEHIND = re.compile(r"afterany:([^:@,]+)")
_OF = re.compile(rf"(?:^|,){walltime.VARIABLE}=([^,]+)")


def submit(options: Sequence[str], script: Path, settings: Settings, tell: Tell) -> str:
    """Submit the script with these options, and a job that waits for it; gives the first id.

    Both or none: the first one is deleted when the second is refused.
    """
    if os.getuid() == 0:
        raise NotSubmitted(job=str(script), reason="root submits no jobs; its user does")
    try:
        text = script.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as problem:
        raise ScriptUnreadable(path=script, problem=problem.strerror) from problem
    with connect(settings, timeout_seconds=ANSWER_SECONDS) as pbs:
        openpbs = pbs.is_openpbs
    prefix = _prefix(options, openpbs)
    for each in (*directives.options(options), *directives.read(text, prefix, openpbs)):
        if each.option in "Iz" or (each.option, each.value) == ("W", "block=true"):
            asked = f"-{each.option} {each.value}".rstrip()
            raise NotSubmitted(job=str(script), reason=f"a chain is not for qsub {asked}")
    with tempfile.TemporaryDirectory() as directory:
        own = Path(directory, script.name)  # the job is called so
        text = link_script.first(text, prefix, openpbs)
        own.write_bytes(text.encode("utf-8", "surrogateescape"))
        ours = () if prefix == directives.PREFIX else ("-C", directives.PREFIX)
        first = qsub("", str(script), os.getcwd(), [*options, *ours, str(own)], tell)
    with connect(settings, timeout_seconds=ANSWER_SECONDS) as pbs:
        try:
            if "[" in first:
                reason = "arrays have no chains: submit each member by itself"
                raise NotSubmitted(job=first, reason=reason)
            try:
                if pbs.job(first).checkpoint in ("n", "none"):
                    reason = "a job that must not be checkpointed (-c n) cannot go on"
                    raise NotSubmitted(job=first, reason=reason)
                waits = set_up_next(pbs, first, first, os.getcwd(), None, tell)
                tell(f"{waits} waits for it, and goes on with it")
            except UnknownJob:
                tell(f"{first} has ended already: nothing waits for it")
        except TorqueCkptError:
            pbs.delete(first)
            raise
    return first


def _prefix(options: Sequence[str], openpbs: bool) -> str:
    """What begins a directive in the user's script: qsub's -C; OpenPBS's goes by a variable too."""
    given = [each.value for each in directives.options(options) if each.option == "C"]
    default = os.environ.get("PBS_DPREFIX") if openpbs else None
    return given[-1] if given else default or directives.PREFIX


def set_up_next(
    pbs: Server,
    chain: str,
    behind: str,
    directory: str,
    host: str | None,
    tell: Tell = log.info,
) -> str:
    """Submit the job that waits for `behind` and asks for the same; gives its id."""
    wanted = qsub_options.of_server(pbs.job(behind))
    script = link_script.following(chain, behind, wanted, host)
    return qsub(script, behind, directory, tell=tell)


def of_chain(pbs: Server, chain: str, user: str) -> list[Job]:
    """The chain's jobs that the server knows; those that wait come first."""
    names = ("Job_Owner", "job_state", "Variable_List", "depend")
    own = [job for job in pbs.jobs(names) if job.owner == user]
    found = [job for job in own if chain in (job.id, chain_named_by(job))]
    return sorted(found, key=lambda job: not job.waits)


def chain_named_by(job: Job) -> str:
    """The first job of the chain that a later link belongs to; "" for any other job."""
    found = _OF.search(job.text("Variable_List"))
    return found.group(1) if found is not None and not found.group(1).isdigit() else ""


def cancel_waiting(chain: str, present: str, user: str, settings: Settings, tell: Tell) -> None:
    """Delete the link that waits, since the chain's work is done.

    What waited for that link waits for the present one.  Where the server does not answer, the link
    itself finds that all is done.
    """
    try:
        with connect(settings, timeout_seconds=ANSWER_SECONDS) as pbs:
            for job in of_chain(pbs, chain, user):
                if job.id != present and job.waits:
                    move_waiting(pbs, user, {job.id}, present, tell)
                    pbs.delete(job.id)
    except TorqueCkptError as refusal:
        tell(f"what waits for chain {chain} is not cancelled, it ends when it starts: {refusal}")


def move_dependents(pbs: Server, jobs: Sequence[Job], here: set[str], tell: Tell) -> None:
    """Have what waits for a link that runs here wait for the link behind it.

    With the present link's end the chain has not ended; when it does, this is moved back.

    jobs: all of the server, with depend and Variable_List.
    """
    waiting: dict[str, list[Job]] = {}
    for job in jobs:
        if job.waits and can_alter(pbs, job):
            waiting.setdefault(job.owner, []).append(job)
    for owner, of_owner in waiting.items():
        with Budget(owner, budget.ROUND).part(tell):
            for behind in filter(chain_named_by, of_owner):
                links = here & set(_BEHIND.findall(behind.text("depend")))
                for job in of_owner if links else ():
                    budget.spend()
                    if job.id != behind.id:
                        _move_dependent(pbs, job, links, behind, tell)


def _move_dependent(pbs: Server, job: Job, links: set[str], behind: Job, tell: Tell) -> None:
    depend = qsub_options.moved(job.text("depend"), links, behind.id)
    if depend == job.text("depend"):
        return
    try:
        pbs.alter(job.id, {"depend": depend})
        tell(f"{job.id}: waits for {behind.id} now: {depend}")
    except PbsError as refusal:
        tell(f"{job.id}: waits for {job.text('depend')} still: {refusal}")


def tie_to_this_node(pbs: Server, job: Job, settings: Settings) -> None:
    """Have the waiting link run on this node, where the images of the first one will be."""
    if settings.store_shared:
        return
    asked = qsub_options.of_server(pbs.job(job.id))
    wanted = resource_requests.on_node(asked, os.uname().nodename)
    for each in wanted:
        name, _, value = each.value.partition("=")
        if each.option == "l" and name in ("nodes", "select"):
            pbs.alter(job.id, {"Resource_List": {name: value}})
