# SPDX-License-Identifier: MIT
"""When a job's last checkpoint begins, the one that ends it just before its walltime does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

VARIABLE = "TORQUECKPT_CHAIN"
_LONGER = 1.5  # than the longest so far: more jobs of the node may reach their limit together
_UNMEASURED_BYTES_PER_SECOND = 50 * 1024 * 1024
_AGAIN_SECONDS = 2.0


def wanted(variables: Mapping[str, str]) -> bool:
    """Whether a job's environment asks for it."""
    return variables.get(VARIABLE, "") not in ("", "0")


def expected_seconds(durations: Iterable[float], bytes_to_write: int) -> float:
    """How long it may take: by the dumps that were measured, for a first one by its size."""
    longest = max(durations, default=0.0)
    return _LONGER * (longest or bytes_to_write / _UNMEASURED_BYTES_PER_SECOND)


def begins(walltime: float, expected: float, margin: float) -> float:
    """As late as the dump's duration and the margin allow, but never before half the walltime:
    a job whose dumps take longer would get nothing done."""
    return max(walltime - expected - margin, walltime / 2)


def again(tried: float, walltime: float, expected: float) -> float | None:
    """When one that failed is tried again; None once it would not end in time any more."""
    at = tried + _AGAIN_SECONDS
    return at if at + expected <= walltime else None
