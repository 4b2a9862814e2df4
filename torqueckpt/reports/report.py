# SPDX-License-Identifier: MIT
"""Report from the journals whose jobs were checkpointed and restarted, and why others were not.

A journal is its owner's: what it says is shown, and nothing is decided by it.
"""

from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from torqueckpt import budget, log
from torqueckpt.budget import Budget
from torqueckpt.errors import (
    BadArguments,
    CannotBeDumped,
    DumpFailed,
    RestoreFailed,
    RestoreTimeout,
)
from torqueckpt.identity import Owner
from torqueckpt.settings import Settings
from torqueckpt.store import access, journal

LOCAL, GRID = "local users", "grid VOs"


_KINDS = ("checkpoint", "restart")


_UNITS = {"m": 60, "h": 3600, "d": 86400}


_LEFT_OUT = "processes with PPID 1 are left out"


_BY: dict[str, _Name] = {
    "": lambda job: (GRID, job.vo) if job.vo else (LOCAL, job.user),
    "user": lambda job: (GRID if job.vo else LOCAL, job.user),
    "vo": lambda job: (GRID, job.vo) if job.vo else (LOCAL, "-"),
    "queue": lambda job: ("", job.queue or "-"),
}


BY = tuple(name for name in _BY if name)


_BY_THE_CHECKPOINTER = (RestoreFailed.exit_code, RestoreTimeout.exit_code)


_LONGEST = 100  # characters of a reason that is not known


_SOCKETS = re.compile(r"\b(?:socket|TCP|UDP|connection)", re.IGNORECASE)


_PID_TAKEN = re.compile(r"\bpid \d+|process number", re.IGNORECASE)


@dataclass
class Job:
    """One job in the journal.

    last: kind of event → why the last one failed, "" for success; at: when that was.
    """

    user: str
    queue: str = ""
    vo: str = ""
    done: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    left_out: bool = False
    last: dict[str, str] = field(default_factory=dict)
    at: dict[str, object] = field(default_factory=dict)


class ReportRow(NamedTuple):
    """One name's jobs.  reasons: in words, with how many jobs, the most frequent first.

    part is "local users" or "grid VOs": one name may be a user's and a VO's.
    """

    part: str
    name: str
    jobs: int
    checkpoints: int
    restarts: int
    failed: int
    outcome: str
    reasons: tuple[tuple[str, int], ...]

    @property
    def words(self) -> str:
        told = "; ".join(reason for reason, _ in self.reasons)
        return f"{self.outcome} - {told}" if told else self.outcome


_Name = Callable[[Job], tuple[str, str]]


def report(
    owners: Iterable[Owner],
    by: str,
    since: float,
    settings: Settings,
    tell: Callable[[str], None] = log.warning,
) -> list[ReportRow]:
    """A row for each name; without `by`, for users of local jobs and VOs of grid jobs.

    since: seconds of the epoch.  Only an owner himself and root may read his journal; tell gets a
    line for each who is left out.
    """
    found: dict[tuple[str, str], list[Job]] = defaultdict(list)
    for owner in owners:
        part = Budget(owner.name, budget.FIGURES).part(tell)
        with part, access.as_owner(owner, settings) as owner_store:
            lines = journal.since(owner_store, since) if owner_store is not None else ()
            for job in _jobs(owner.name, lines):
                found[_BY[by](job)].append(job)
    order = {LOCAL: 0, GRID: 1}
    return [
        _row(part, name, jobs)
        for (part, name), jobs in sorted(
            found.items(), key=lambda each: (order.get(each[0][0], 0), each[0][1])
        )
    ]


def moment(text: str) -> float:
    """Parse a time: an ISO date, or date and time, of this place; or 30m, 24h, 7d ago."""
    ago = re.fullmatch(r"([0-9]{1,6})([mhd])", text)
    if ago:
        return time.time() - int(ago.group(1)) * _UNITS[ago.group(2)]
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError) as odd:
        usage = "--since 2010-05-17, 2010-05-17T08:00, 7d, 24h or 30m"
        problem = f"{log.one_line(text)!r} is no time"
        raise BadArguments(program="torqueckpt report", problem=problem, usage=usage) from odd


def _jobs(user: str, lines: Iterable[dict[str, object]]) -> list[Job]:
    found: dict[str, Job] = {}
    for line in lines:
        event, number = _text(line, "event"), _text(line, "job")
        if event == journal.END and line.get("amid") in _KINDS:
            _forget_failure(found, number, line)
        kind = event.removesuffix("-failed")
        if kind not in _KINDS or not number:
            continue
        job = found.setdefault(number, Job(user))
        job.queue = _text(line, "queue") or job.queue
        job.vo = _text(line, "vo") or job.vo
        job.at[kind] = line.get("time")
        if kind == event:
            job.done[kind] += 1
            job.last[kind] = ""
            job.left_out = bool(line.get("left_out")) if kind == "checkpoint" else job.left_out
        else:
            code, reason = line.get("code"), line.get("reason")
            job.failed += 1
            job.last[kind] = in_words(
                event,
                code if type(code) is int else None,
                reason if isinstance(reason, str) else "",
                job.left_out,
            )
    return list(found.values())


def _forget_failure(found: dict[str, Job], number: str, line: dict[str, object]) -> None:
    """Take back the failure of an action that failed as somebody killed the job meanwhile."""
    kind, first = str(line["amid"]), _text(line, "lineage").rpartition("@")[0]
    since = line.get("since")
    for job in filter(None, map(found.get, {number, first})):
        at = job.at.get(kind)
        if job.last.get(kind) and isinstance(at, int) and isinstance(since, int) and at >= since:
            job.failed -= 1
            del job.last[kind]


def _row(part: str, name: str, jobs: list[Job]) -> ReportRow:
    failures = Counter(reason for job in jobs for reason in set(job.last.values()) if reason)
    beside = Counter(_LEFT_OUT for job in jobs if job.left_out)
    return ReportRow(
        part=part,
        name=name,
        jobs=len(jobs),
        checkpoints=sum(job.done["checkpoint"] for job in jobs),
        restarts=sum(job.done["restart"] for job in jobs),
        failed=sum(job.failed for job in jobs),
        outcome="NO" if failures else "OK",
        reasons=tuple((failures or beside).most_common()),
    )


def _text(line: dict[str, object], name: str) -> str:
    """The field as text: the owner may have written the line himself."""
    value = line.get(name)
    return log.one_line(value[:64]) if isinstance(value, str) else ""


def in_words(event: str, code: int | None, reason: str, left_out: bool) -> str:
    """Say in words why a checkpoint or restart failed; left_out: processes that its image lacks."""
    refused = code in (CannotBeDumped.exit_code, DumpFailed.exit_code, None)
    if event.startswith("checkpoint") and refused and _SOCKETS.search(reason):
        return "open sockets"
    if event.startswith("checkpoint") and code is not None:
        return f"checkpoint failed (code {code})"
    if event.startswith("restart") and code in _BY_THE_CHECKPOINTER:
        if left_out:
            return "restore failed (processes with PPID 1)"
        if _PID_TAKEN.search(reason):
            return "restore failed (process numbers in use)"
    if event.startswith("restart") and code is not None:
        return f"restore failed (code {code})"
    shown = log.one_line(reason) or event
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"
