# SPDX-License-Identifier: MIT
"""The command interval: how often to checkpoint."""

from __future__ import annotations

import json
import re

import click

from torqueckpt import settings
from torqueckpt.batch.schedule import Rate
from torqueckpt.cli import ownership
from torqueckpt.ifl.records import seconds
from torqueckpt.reports import interval
from torqueckpt.reports.interval import Advice
from torqueckpt.typed_json import plain

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@click.command("interval")
@click.argument("job", required=False)
@click.option("--size", metavar="SIZE", help="Of a job with so much memory: 500M, 16G.")
@click.option("--cost", metavar="SECONDS", type=click.FloatRange(min=0), help="Of one checkpoint.")
@click.option("--mtbf", metavar="HOURS", type=click.FloatRange(min=0.01), help="Between failures.")
@click.option("--walltime", metavar="[HH:]MM:SS", help="What the job is given.")
@click.option("--user", metavar="USER", help="Whose images (root).")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def interval_command(
    job: str | None,
    size: str | None,
    cost: float | None,
    mtbf: float | None,
    walltime: str | None,
    user: str | None,
    as_json: bool,
) -> None:
    """Say how often a job is best checkpointed, by Young's and Daly's formulas.

    What a checkpoint costs is measured on JOB's images, told by --cost, or estimated from --size;
    how often nodes fail is told by --mtbf, else seen in the journal, else as the settings say.

    \b
    torqueckpt interval 12.node1
    torqueckpt interval --size 16G --walltime 14:00:00
    """
    if sum(each is not None for each in (job, size, cost)) != 1:
        raise click.UsageError("one of JOB, --size and --cost is needed")
    chosen = settings.load()
    given = _seconds(walltime) if walltime is not None else None
    if job is not None:
        named = ownership.job_or_lineage(job)
        owner = ownership.owner_of(named, chosen, user)
        spent = interval.cost_of_job(named, owner, chosen)
        given = interval.walltime_of_job(named, owner, chosen) if given is None else given
    else:
        owner = ownership.caller(user)
        if size is not None:
            spent = interval.cost_of_size(_bytes(size), owner, chosen)
        else:
            assert cost is not None
            spent = cost, "--cost"
    rate, source = interval.rate_of(owner, chosen)
    if mtbf is not None:
        rate, source = rate._replace(mtbf_seconds=mtbf * 3600), "--mtbf"
    found = interval.advise(spent, (rate, source), given, chosen)
    if as_json:
        click.echo(json.dumps(plain(found), indent=1))
        return
    for line in _lines(found, rate):
        click.echo(line)


def _lines(found: Advice, rate: Rate) -> list[str]:
    told = [
        f"a checkpoint stops the job for {found.cost_seconds:.2f} s ({found.cost_from})",
        f"a failure every {found.mtbf_seconds / 3600:.0f} h ({found.mtbf_from})",
        f"Young {_time(found.young_seconds)}, Daly {_time(found.daly_seconds)}, "
        f"with at most {rate.overhead_percent:g} % of the time: {_time(found.interval_seconds)}",
    ]
    if found.walltime_seconds is None:
        return [*told, f"so: -c c={_minutes(found.interval_seconds)}, or -c c=auto"]
    assert found.lost_seconds is not None and found.aligned_lost_seconds is not None
    wall = f"a walltime of {_time(found.walltime_seconds)}"
    told.append(f"with {wall} that would lose the last {_time(found.lost_seconds)}")
    if found.aligned_seconds is None:
        return [*told, f"so: none; {wall} is too short for a checkpoint to be worth it"]
    minutes = _minutes(found.aligned_seconds)
    told.append(
        f"every {_time(found.aligned_seconds)} loses the last {_time(found.aligned_lost_seconds)}"
    )
    return [*told, f"so: -c c={minutes}, or -c c=auto, which keeps to the second"]


def _minutes(interval: float) -> int:
    """Round down to minutes, as -c takes them: the last image must come before the walltime."""
    return max(int(interval // 60), 1)


def _time(interval: float) -> str:
    whole = round(interval)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def _bytes(text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,12})([KMGT]?)(?:i?B)?", text, re.IGNORECASE)
    if found is None:
        raise click.BadParameter("expected a number with K, M, G or T", param_hint="--size")
    return int(found.group(1)) * _UNITS[found.group(2).upper()]


def _seconds(text: str) -> float:
    found = seconds(text)
    if not found:
        raise click.BadParameter("expected HH:MM:SS or seconds", param_hint="--walltime")
    return float(found)


COMMANDS = (interval_command,)
