# SPDX-License-Identifier: MIT
"""The owner's journal: one JSON line for each checkpoint, restart and failure."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from itertools import islice

from torqueckpt import budget, layout, log
from torqueckpt.errors import OWN_FAILURE
from torqueckpt.process import privileges
from torqueckpt.settings import Settings
from torqueckpt.store import access, marks
from torqueckpt.store.lineage import Lineage
from torqueckpt.store.store import OwnerStore
from torqueckpt.typed_json import Malformed, load

RESTART_FAILED = "restart-failed"  # the journal's word

# How a job of LSF ended, as its starter notes it.  Without that line nobody knows: it may have died
# with its host, and its images are all that is left of it.
END = "end"
ENDED, KILLED = "ended", "killed"  # nobody needs its images any more
LIMIT = "limit"  # another job may go on from them, as long as those of ended jobs are kept
SAVED, NOT_RESTARTED = "saved", "not restarted"  # it waits in an image
OVER = (ENDED, KILLED, LIMIT)

_LATEST = 4 * 1024 * 1024  # it only ever grows

_REPORTED = 16 * 1024 * 1024

_LONGEST = 16 * 1024  # characters of a text: a line is little of what is read
_MOST = 100  # files that it names
_LINE = 1024 * 1024  # bytes of a line, with some thousands of generations that went
_LARGEST = 1 << 63

_OF_A_JOB = ("batch", "queue", "vo")

TRIED = ".doctor"  # how the ids of `torqueckpt doctor`'s own jobs end: they count for nobody


HOUSEKEEPING = ("delete", "prune")  # what happens to images, not to jobs


def last(store: OwnerStore, name: str, value: str, event: str = "") -> dict[str, object]:
    """The latest line in which `name` is `value`; {} when none is recent, or none can be read.

    Lines about images alone do not count.  event: only lines of this kind.
    """
    try:
        lines = _latest_lines(store)
        told = map(_line, reversed(lines))
        found = (each for each in told if each.get(name) == value)
        of_jobs = (each for each in found if each.get("event") not in HOUSEKEEPING)
        return next((each for each in of_jobs if not event or each.get("event") == event), {})
    except (OSError, Malformed) as problem:
        log.warning(f"{store.path}/{layout.JOURNAL}: {problem}")
        return {}


def waits(store: OwnerStore, lineage: Lineage) -> str:
    """The lineage's job that was ended with an image, while none of its jobs has run since; or "".

    A restart that failed was no run.  Of images that an older version made, which have no mark, the
    journal tells as far back as it is read.
    """
    marked = marks.held_job(lineage)
    if marked:
        return marked
    jobs = store.jobs_of(lineage)
    try:
        for line in reversed(_latest_lines(store)):
            told = _line(line)
            if told.get("job") in jobs and _says_it_is_over(told):
                return ""
            if told.get("job") in jobs and told.get("event") in ("checkpoint", "restart"):
                return str(told["job"]) if told.get("ended") is True else ""
    except (OSError, Malformed) as problem:
        log.warning(f"{store.path}/{layout.JOURNAL}: {problem}")
    return ""


def end_of(store: OwnerStore, job: str) -> dict[str, object]:
    """The line that tells how a job of LSF ended; {} when nobody has noted that."""
    told = last(store, "job", job)
    return told if told.get("event") == END else {}


def _says_it_is_over(told: dict[str, object]) -> bool:
    return told.get("event") == END and told.get("how") in OVER


def noted_failure(store: OwnerStore, job: str, lineage: str, since: int, reason: str) -> str:
    """Why a restart failed, as it was noted since then; else `reason`, which is noted now."""
    noted = last(store, "lineage", lineage)
    when = noted.get("time")
    if noted.get("event") == RESTART_FAILED and isinstance(when, int) and when >= since:
        return str(noted.get("reason", reason))
    facts = {"lineage": lineage, "reason": reason, "code": OWN_FAILURE}
    note(store, RESTART_FAILED, job, **facts, **of_checkpoint(store, job))
    return reason


def of_checkpoint(store: OwnerStore, job: str) -> dict[str, object]:
    """Batch system, queue and VO of the job's last checkpoint: a restart is not told these."""
    line = last(store, "job", job, "checkpoint")
    found = {name: line.get(name) for name in _OF_A_JOB}
    return {n: value for n, value in found.items() if isinstance(value, str) and len(value) < 100}


def since(store: OwnerStore, when: float) -> Iterator[dict[str, object]]:
    """The lines from a time on, oldest first; what is no line of torqueckpt's is skipped."""
    try:
        lines = _latest_lines(store, _REPORTED)
    except FileNotFoundError:
        return
    except OSError as problem:
        log.warning(f"{store.path}/{layout.JOURNAL}: {problem}")
        return
    for line in lines:
        try:
            told = _line(line)
        except Malformed:
            continue
        if str(told.get("job")).endswith(TRIED):
            continue
        at = told.get("time")
        if type(at) is int and at >= when:
            yield told


def note(store: OwnerStore, event: str, job: str, **facts: object) -> None:
    """Append a line; `event` is checkpoint, restart, delete, prune…, or one with `-failed`.

    What was done stays done when there is no room to tell of it.
    """
    outcome = "NO" if event.endswith("-failed") else "OK"
    who = {"user": store.path.name, "outcome": outcome}
    told = {name: _short(fact) for name, fact in facts.items()}
    line = {"time": int(time.time()), "event": event, "job": job, **who, **told}
    try:
        store.directory.append_line(layout.JOURNAL, json.dumps(line))
    except OSError as problem:
        log.warning(f"{store.path}/{layout.JOURNAL}: not written: {problem.strerror}")


def _short(fact: object) -> object:
    """A fact as a line has it, cut where it is long: a restart can fail for thousands of files."""
    if isinstance(fact, str) and len(fact) > _LONGEST:
        return f"{fact[:_LONGEST]} …"
    if isinstance(fact, dict) and len(fact) > _MOST:
        return {**dict(islice(fact.items(), _MOST)), "…": f"and {len(fact) - _MOST} more"}
    return fact


def _line(text: bytes) -> dict[str, object]:
    """The fields of a line, all numbers in them of less than 64 bits; Malformed."""
    if len(text) > _LINE:
        raise Malformed("too long a line")
    told = load(text)
    if not isinstance(told, dict):
        raise Malformed("no object")
    for name, value in told.items():
        if isinstance(value, (int, float)) and abs(value) >= _LARGEST:
            raise Malformed(f"{name}: too large a number")
    return told


def _latest_lines(store: OwnerStore, most: int = _LATEST) -> list[bytes]:
    with os.fdopen(store.directory.open_file(layout.JOURNAL, os.O_RDONLY), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        before = max(size - most, 0)
        budget.spend(size=min(size, most))
        file.seek(before)
        return file.read(most).splitlines()[1 if before else 0 :]


def why_not_restarted(lineage: str, settings: Settings) -> tuple[int, str]:
    """Exit code and reason of the last restart of the caller's lineage, (0, "") when it worked."""
    owner = privileges.owner_of_uid(os.getuid())
    with access.lineage_of(lineage, owner, settings) as (owner_store, _):
        noted = last(owner_store, "lineage", lineage)
    code, reason = noted.get("code"), noted.get("reason")
    return (code if isinstance(code, int) else 0, str(reason or ""))
