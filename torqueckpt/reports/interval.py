# SPDX-License-Identifier: MIT
"""Say how often to checkpoint a job: the formulas of batch/schedule.py on measured figures.

The cost is how long images of the job have stopped it.  Failures are jobs of the same owner that
were resumed from an image that no hold had made, by his journal.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from statistics import median
from typing import NamedTuple

from torqueckpt.batch import qsub_options, schedule
from torqueckpt.batch.schedule import Rate
from torqueckpt.errors import NoImage
from torqueckpt.identity import Owner
from torqueckpt.ifl.records import seconds
from torqueckpt.images import catalogue
from torqueckpt.settings import Settings
from torqueckpt.store import access, journal

_DAYS = 90  # of the journal
_ENOUGH = 3  # failures: fewer say little of how often they happen
_LATEST = 5  # images of a job whose cost counts
_BYTES_PER_SECOND = 1.5e9  # measured, 4 GiB (contracts/criu.md), where there is no figure
_SLACK_SECONDS = 60.0  # MOM's walltime and ours need not agree to the second


class Advice(NamedTuple):
    """The result of `torqueckpt interval`; its fields are those of --json.

    Seconds, all of them but the words; walltime_seconds and what follows from it are None when
    nobody knows the walltime, aligned_seconds also when no checkpoint is worth its cost in it.
    """

    cost_seconds: float
    cost_from: str
    mtbf_seconds: float
    mtbf_from: str
    young_seconds: float
    daly_seconds: float
    interval_seconds: float
    walltime_seconds: float | None
    aligned_seconds: float | None
    lost_seconds: float | None
    aligned_lost_seconds: float | None


def advise(
    cost: tuple[float, str], rate: tuple[Rate, str], walltime: float | None, settings: Settings
) -> Advice:
    """Compute all intervals; cost and rate come with the words on where they are from.

    lost is what a job has done since its last image when it reaches its walltime.
    """
    spent, known = cost[0], rate[0]
    each, reserve = schedule.best(spent, known), _reserve(spent, settings)
    aligned = lost = aligned_lost = None
    if walltime is not None:
        aligned = schedule.aligned(each, spent, walltime, reserve, known)
        lost = schedule.wasted(each, spent, walltime, reserve)
        aligned_lost = reserve if aligned is not None else walltime
    return Advice(
        cost_seconds=spent,
        cost_from=cost[1],
        mtbf_seconds=known.mtbf_seconds,
        mtbf_from=rate[1],
        young_seconds=schedule.young(spent, known.mtbf_seconds),
        daly_seconds=schedule.daly(spent, known.mtbf_seconds),
        interval_seconds=each,
        walltime_seconds=walltime,
        aligned_seconds=aligned,
        lost_seconds=lost,
        aligned_lost_seconds=aligned_lost,
    )


def until_next(cost: float, left: float | None, rate: Rate, settings: Settings) -> float:
    """For `-c auto`: the time from the last image to the next checkpoint, infinite for none.

    left is what of the walltime was left at that image, None when unknown.
    """
    each = schedule.best(cost, rate)
    if left is None:
        return each
    found = schedule.aligned(each, cost, left, _reserve(cost, settings), rate)
    return math.inf if found is None else found


def cost_of_job(job: str, owner: Owner, settings: Settings) -> tuple[float, str]:
    """How long the job's latest images have stopped it, the median; NoImage."""
    frozen = [row.frozen_ms / 1000 for row in catalogue.rows(owner, settings, job) if row.whole]
    if not frozen:
        raise NoImage(job=job, which="")
    latest = frozen[-_LATEST:]
    return median(latest), f"the latest {len(latest)} image(s) of {job}"


def walltime_of_job(job: str, owner: Owner, settings: Settings) -> float | None:
    """The job's walltime, if its script asked for one."""
    manifest, _, _ = catalogue.recorded(job, owner, settings, None)
    for each in qsub_options.of_script(manifest.job.directives):
        for item in each.value.split(",") if each.option == "l" else ():
            name, _, value = item.partition("=")
            if name.strip() == "walltime":
                return seconds(value)
    return None


def cost_of_size(size: int, owner: Owner, settings: Settings) -> tuple[float, str]:
    """How long a dump of so many bytes stops a job, at the speed of the owner's images."""
    speeds = []
    for line in _lines(owner, settings):
        length, frozen_us = line.get("bytes"), line.get("frozen_us")
        if isinstance(length, int) and isinstance(frozen_us, int) and length > 0 < frozen_us:
            speeds.append(length * 1e6 / frozen_us)
    speed = median(speeds) if speeds else _BYTES_PER_SECOND
    source = f"{len(speeds)} image(s) in the journal" if speeds else "no image yet: taken to be"
    return size / speed, f"{source}, {speed / 1e6:.0f} MB/s"


def rate_of(owner: Owner, settings: Settings) -> tuple[Rate, str]:
    """How often the owner's jobs were resumed after a failure; the settings' figure if seldom."""
    observed, failures = failures_in(_lines(owner, settings))
    if failures < _ENOUGH:
        return Rate(settings.mtbf_hours * 3600.0, settings.overhead_percent), "the settings"
    told = f"{failures} failures in {observed / 3600:.0f} h of the journal"
    return Rate(observed / failures, settings.overhead_percent), told


def failures_in(lines: Iterable[dict[str, object]]) -> tuple[float, int]:
    """The seconds that jobs ran, and how often one was resumed that nobody had held."""
    seen: dict[object, float] = {}  # job → when it was last seen to run
    observed, failures = 0.0, 0
    for line in lines:
        job, event, when = line.get("job"), line.get("event"), line.get("time")
        if not isinstance(job, str) or not isinstance(when, int):
            continue
        if event == "checkpoint":
            observed += max(when - seen.get(job, when), 0)
            seen[job] = when
            if line.get("ended") is True:
                del seen[job]
        elif event == "restart":
            if seen.pop(str(line.get("image_of")), None) is not None:
                failures += 1
            seen[job] = when
    return max(observed, 1.0), failures


def _reserve(cost: float, settings: Settings) -> float:
    """How long before the walltime's end the last image is begun.

    It is overdue for a time, and it has to be written.
    """
    late = settings.periodic_poll_seconds + settings.periodic_grace_seconds
    return _SLACK_SECONDS + late + 3 * cost


def _lines(owner: Owner, settings: Settings) -> list[dict[str, object]]:
    since = time.time() - _DAYS * 86400
    with access.as_owner(owner, settings, store_optional=True) as owner_store:
        return list(journal.since(owner_store, since)) if owner_store is not None else []
