# SPDX-License-Identifier: MIT
"""Draw the report as a page: numbers become places and sizes.

The page (templates/report) needs nothing from elsewhere, no script, no picture, no font.  What
users wrote into their journals is text in it and nothing else: the template escapes all.
"""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from torqueckpt import budget, log, render
from torqueckpt.budget import Budget
from torqueckpt.identity import Owner
from torqueckpt.reports import report
from torqueckpt.reports.report import ReportRow
from torqueckpt.settings import Settings
from torqueckpt.store import access, journal

_MOST_BARS = 25
_MOST_DOTS = 1000  # then the largest of each stretch of time
_SHORT_SECONDS = 600  # marks of a minute's precision would tell the same
_LARGEST = 1 << 60  # more is nobody's size or time
_BAR_WIDTH, _PLOT_WIDTH, _PLOT_HEIGHT = 420.0, 660.0, 200.0
_KIB = 1024
_BYTES = [float(m * _KIB**power) for power in (1, 2, 3, 4) for m in (1, 10, 100)]
_MICROSECONDS = [float(10**power) for power in range(2, 10)]
_UNITS = ("KiB", "MiB", "GiB", "TiB")


class Bar(NamedTuple):
    """The jobs of one name, as the widths of a bar's two parts, OK and not."""

    name: str
    jobs: int
    failed: int
    ok_width: float
    no_width: float
    told: str


class Dot(NamedTuple):
    x: float
    y: float
    told: str


class Tick(NamedTuple):
    at: float
    label: str


class Plot(NamedTuple):
    """One figure over time; y grows downwards, as in SVG."""

    dots: tuple[Dot, ...]
    rows: tuple[Tick, ...]
    columns: tuple[Tick, ...]


class _Taken(NamedTuple):
    """A checkpoint in the journal."""

    when: int
    job: str
    bytes: int
    frozen_us: int


def page(
    owners: list[Owner],
    since: float,
    settings: Settings,
    tell: Callable[[str], None] = log.warning,
) -> str:
    """The page, as HTML, of what the journals tell since then; tell: as for report()."""
    by_user = report.report(owners, "user", since, settings, tell)
    by_queue = report.report(owners, "queue", since, settings, log.info)
    taken = list(_taken(owners, since, settings))
    reasons = Counter({reason: 0 for row in by_user for reason, _ in row.reasons})
    for row in by_user:
        reasons.update(dict(row.reasons))
    return render.render(
        "report/report.html.j2",
        {
            "host": os.uname().nodename,
            "written": _clock(time.time()),
            "since": _clock(since) if since > 0 else "the beginning",
            "jobs": sum(row.jobs for row in by_user),
            "checkpoints": sum(row.checkpoints for row in by_user),
            "restarts": sum(row.restarts for row in by_user),
            "failed": sum(row.failed for row in by_user),
            "outcomes": [("user", bars(by_user)), ("queue", bars(by_queue))],
            "bar_width": _BAR_WIDTH,
            "reasons": reasons.most_common(),
            "plots": [
                ("Size of images over time", plot([(t, t.bytes) for t in taken], _BYTES, size)),
                (
                    "How long jobs stood still for a checkpoint",
                    plot([(t, t.frozen_us) for t in taken], _MICROSECONDS, duration),
                ),
            ],
            "plot_width": _PLOT_WIDTH,
            "plot_height": _PLOT_HEIGHT,
        },
    )


def bars(rows: list[ReportRow]) -> list[Bar]:
    """Bars of the names with the most jobs; all others share one."""
    times = Counter(row.name for row in rows)  # a user may have grid jobs besides
    names = [f"{row.name}, {row.part}" if times[row.name] > 1 else row.name for row in rows]
    counts = [(name, row.jobs, _failed_jobs(row), row.words) for name, row in zip(names, rows)]
    counts.sort(key=lambda each: -each[1])
    rest = counts[_MOST_BARS:]
    if rest:
        jobs, failed = sum(each[1] for each in rest), sum(each[2] for each in rest)
        counts[_MOST_BARS:] = [(f"{len(rest)} others", jobs, failed, "")]
    most = max((jobs for _, jobs, _, _ in counts), default=1) or 1
    return [
        Bar(
            name=name,
            jobs=jobs,
            failed=failed,
            ok_width=_BAR_WIDTH * (jobs - failed) / most,
            no_width=_BAR_WIDTH * failed / most,
            told=told,
        )
        for name, jobs, failed, told in counts
    ]


def _failed_jobs(row: ReportRow) -> int:
    """The jobs whose last checkpoint or restart failed; one with two reasons counts once."""
    return min(row.jobs, sum(n for _, n in row.reasons)) if row.outcome != "OK" else 0


def plot(taken: list[tuple[_Taken, int]], scale: list[float], unit: Callable[[float], str]) -> Plot:
    """Plot dots on a logarithmic scale: jobs differ by orders of magnitude."""
    if not taken:
        return Plot((), (), ())
    moments = [each.when for each, _ in taken]
    first, last = min(moments), max(moments)
    values = [max(value, 1) for _, value in taken]
    low = max((n for n, each in enumerate(scale) if each <= min(values)), default=0)
    high = min((n for n, e in enumerate(scale) if e >= max(values)), default=len(scale) - 1)
    high = max(high, low + 1) if low + 1 < len(scale) else high
    low = min(low, high - 1)
    bottom, top = math.log10(scale[low]), math.log10(scale[high])

    def y(value: float) -> float:
        share = (math.log10(max(value, 1)) - bottom) / (top - bottom)
        return round(_PLOT_HEIGHT * (1 - min(max(share, 0.0), 1.0)), 1)

    def x(when: float) -> float:
        return round(_PLOT_WIDTH * ((when - first) / (last - first) if last > first else 0.5), 1)

    dots = tuple(
        Dot(x(each.when), y(value), f"{each.job}, {_clock(each.when)}: {unit(value)}")
        for each, value in _thinned(taken, first, last)
    )
    rows = tuple(Tick(y(each), unit(each)) for each in scale[low : high + 1])
    marks = [first + (last - first) * n / 3 for n in range(4)] if last > first else [first]
    seconds = last - first < _SHORT_SECONDS
    return Plot(dots, rows, tuple(Tick(x(each), _clock(each, seconds)) for each in marks))


def _thinned(
    taken: list[tuple[_Taken, int]], first: int, last: int
) -> Iterable[tuple[_Taken, int]]:
    if len(taken) <= _MOST_DOTS:
        return taken
    largest: dict[int, tuple[_Taken, int]] = {}
    for each, value in taken:
        stretch = (each.when - first) * _MOST_DOTS // max(last - first, 1)
        if stretch not in largest or value > largest[stretch][1]:
            largest[stretch] = (each, value)
    return largest.values()


def size(value: float) -> str:
    power = min(max(int(math.log(max(value, 1), _KIB)), 1), len(_UNITS))
    return f"{value / _KIB**power:.3g} {_UNITS[power - 1]}"


def duration(microseconds: float) -> str:
    if microseconds >= 1e6:
        return f"{microseconds / 1e6:.3g} s"
    return f"{microseconds / 1e3:.3g} ms"


def _taken(owners: Iterable[Owner], since: float, settings: Settings) -> Iterator[_Taken]:
    """Each checkpoint in the journals, which their owners can write."""
    for owner in owners:
        taken: list[_Taken] = []
        part = Budget(owner.name, budget.FIGURES).part(log.info)  # report() has told it
        with part, access.as_owner(owner, settings) as owner_store:
            lines = journal.since(owner_store, since) if owner_store is not None else ()
            taken += filter(None, map(_checkpoint, lines))
        yield from taken


def _checkpoint(line: dict[str, object]) -> _Taken | None:
    when, job = line.get("time"), line.get("job")
    held, frozen = line.get("bytes"), line.get("frozen_us")
    if line.get("event") != "checkpoint" or not isinstance(job, str):
        return None
    numbers = [n for n in (when, held, frozen) if type(n) is int and 0 <= n < _LARGEST]
    if len(numbers) != 3:
        return None
    return _Taken(numbers[0], log.one_line(job[:64]), numbers[1], numbers[2])


def _clock(when: float, seconds: bool = False) -> str:
    form = "%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M"
    return time.strftime(form, time.localtime(min(when, 1e11)))
