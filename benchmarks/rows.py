# SPDX-License-Identifier: MIT
"""One line of RESULTS.md: what was measured, beside what, and whether it is within its target."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

MISS, WITHIN, NOT_RUN = "**MISS**", "yes", "not run"


@dataclass(frozen=True)
class Row:
    """judged is compared with target: a ratio, or a figure in the unit of `ours`.

    None stands for what there is not: a row without target is there to be read, one without judged
    was not run, for the reason in note.
    """

    work: str
    size: str
    ours: str = ""
    beside: str = ""
    judged: float | None = None
    spread: str = ""
    target: float | None = None
    rounds: int = 0
    note: str = ""

    @property
    def verdict(self) -> str:
        if self.judged is None:
            return NOT_RUN
        if self.target is None:
            return ""
        return MISS if self.judged > self.target else WITHIN


def ratio(
    work: str,
    size: str,
    ours: Sequence[float],
    beside: Sequence[float],
    target: float | None,
    note: str = "",
) -> Row:
    """Both in seconds, a pair for each round: the ratio of medians, the extremes of the pairs."""
    pairs = [one / two for one, two in zip(ours, beside)]
    judged = statistics.median(ours) / statistics.median(beside)
    spread = f"{min(pairs):.2f} to {max(pairs):.2f}"
    mine, other = (milliseconds(statistics.median(each)) for each in (ours, beside))
    return Row(work, size, mine, other, judged, spread, target, len(pairs), note)


def figure(
    work: str,
    size: str,
    values: Sequence[float],
    unit: str,
    target: float | None,
    note: str = "",
    beside: str = "",
) -> Row:
    """The median of some values of one unit, and their extremes."""
    judged = statistics.median(values)
    spread = f"{min(values):.4g} to {max(values):.4g}"
    return Row(
        work, size, f"{judged:.4g} {unit}", beside, judged, spread, target, len(values), note
    )


def not_run(work: str, size: str, target: float | None, why: str) -> Row:
    return Row(work, size, target=target, note=why)


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds * 1000:.0f} ms"
