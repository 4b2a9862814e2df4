# SPDX-License-Identifier: MIT
"""Show how far a chain has come, and end it."""

from __future__ import annotations

import time
from typing import NamedTuple

from torqueckpt import log
from torqueckpt.batch.server import Server, connect
from torqueckpt.chain import server_jobs
from torqueckpt.errors import TorqueCkptError, UnknownChain
from torqueckpt.identity import Owner
from torqueckpt.ifl.records import Job
from torqueckpt.process import privileges
from torqueckpt.resubmit.resubmit import ANSWER_SECONDS
from torqueckpt.settings import Settings
from torqueckpt.store import access, chain, journal
from torqueckpt.store.chain import Chain, End, Link
from torqueckpt.store.store import OwnerStore


class LinkRow(NamedTuple):
    """One link; state is the server's letter, "" when it does not know the job any more.

    began_from: "beginning", a generation, or "" for one that waits; images: how many it made.
    """

    job: str
    state: str
    host: str
    started: int
    began_from: str
    images: int
    end: str


class Status(NamedTuple):
    """A chain's state: it waits, runs, or how it ended; exit_status where it ended by itself."""

    chain: str
    owner: str
    state: str
    exit_status: int | None
    why: str
    links: list[LinkRow]


def status(job: str, owner: Owner, settings: Settings) -> Status:
    """Find a chain's state in the store, and at the server where it answers; UnknownChain."""
    known, jobs = _asked(job, owner, settings)
    first = _first(job, known, jobs)
    if first is None:
        raise UnknownChain(owner=owner.name, job=job, remedy="")
    at_server = {
        each.id: each for each in jobs if first in (each.id, server_jobs.chain_named_by(each))
    }
    with privileges.acting_as(owner):
        found = _in_store(first, owner, settings)
        links = found[1].read().links if found is not None else ()
        end = found[1].end() if found is not None else None
        rows = [_row(found[0], link, links, at_server, end) for link in links] if found else []
    begun = {each.job for each in links}
    waiting = [e for e in at_server.values() if e.id not in begun and e.waits]
    rows += [LinkRow(each.id, each.state, "", 0, "", 0, "") for each in waiting]
    if end is None:
        runs = any(_is_under_way(at_server[each]) for each in begun & set(at_server))
        state = "runs" if runs else "waits" if waiting else "over"
        return Status(first, owner.name, state, None, "", rows)
    exit_status = end.status if end.how == chain.ENDED else None
    return Status(first, owner.name, end.how, exit_status, end.why, rows)


def cancel(job: str, owner: Owner, settings: Settings) -> list[str]:
    """End the chain: all of its jobs are deleted, nothing goes on; gives their ids."""
    with connect(settings, timeout_seconds=ANSWER_SECONDS) as pbs:
        known, jobs = _in_store(job, owner, settings), _own(pbs, owner)
        first = _first(job, known[1] if known is not None else None, jobs)
        if first is None:
            raise UnknownChain(owner=owner.name, job=job, remedy="")
        with privileges.acting_as(owner):
            found = _in_store(first, owner, settings)
            if found is not None and found[1].end() is None:
                why = "cancelled by its owner"
                found[1].write_end(End(chain.CANCELLED, 0, job, int(time.time()), why))
        gone = []
        for each in server_jobs.of_chain(pbs, first, owner.name):
            if each.waits or _is_under_way(each):
                pbs.delete(each.id)
                gone.append(each.id)
        return gone


def _asked(job: str, owner: Owner, settings: Settings) -> tuple[Chain | None, list[Job]]:
    found = _in_store(job, owner, settings)
    known = found[1] if found is not None else None
    try:
        with connect(settings, timeout_seconds=ANSWER_SECONDS) as pbs:
            return known, _own(pbs, owner)
    except TorqueCkptError as silent:
        log.info(f"shown from the store alone: {silent}")
        return known, []


def _own(pbs: Server, owner: Owner) -> list[Job]:
    jobs = pbs.jobs(["Job_Owner", "job_state", "Variable_List"])
    return [each for each in jobs if each.owner == owner.name]


def _first(job: str, known: Chain | None, jobs: list[Job]) -> str | None:
    """The first job of the chain that `job` is any job of."""
    if known is not None:
        return known.first
    named = {each.id: server_jobs.chain_named_by(each) for each in jobs}
    if named.get(job):
        return named[job]
    return job if job in named.values() else None


def _is_under_way(job: Job) -> bool:
    return job.runs or job.is_exiting


def _in_store(job: str, owner: Owner, settings: Settings) -> tuple[OwnerStore, Chain] | None:
    with access.as_owner(owner, settings, store_optional=True) as owner_store:
        found = chain.of_job(owner_store, job) if owner_store is not None else None
        return (owner_store, found) if owner_store is not None and found is not None else None


def _row(
    owner_store: OwnerStore,
    link: Link,
    links: tuple[Link, ...],
    at_server: dict[str, Job],
    end: End | None,
) -> LinkRow:
    told = [
        each for each in journal.since(owner_store, link.started) if each.get("job") == link.job
    ]
    images = [each for each in told if each.get("event") == "checkpoint"]
    job, how = at_server.get(link.job), ""
    if images and images[-1].get("ended") is True:
        how = "checkpointed"
    elif end is not None and end.how == chain.ENDED and end.job == link.job:
        how = f"exit {end.status}"
    elif end is not None and end.how == chain.CANCELLED and link is links[-1]:
        how = "cancelled"
    elif link is not links[-1] or job is None or not _is_under_way(job):
        how = "lost"
    return LinkRow(
        job=link.job,
        state=job.state if job is not None else "",
        host=link.host,
        started=link.started,
        began_from=str(link.generation) if link.generation else "beginning",
        images=len(images),
        end=how,
    )
