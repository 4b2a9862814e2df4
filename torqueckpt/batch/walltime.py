# SPDX-License-Identifier: MIT
"""Compute when a job's last checkpoint begins, which ends it just before its walltime does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

VARIABLE = "TORQUECKPT_CHAIN"
_LONGER = 1.5  # than the longest so far: more jobs of the node may reach their limit together
_UNMEASURED_BYTES_PER_SECOND = 50 * 1024 * 1024
_AGAIN_SECONDS = 2.0


def wanted(variables: Mapping[str, str]) -> bool:
    """Whether a job's environment asks for a last checkpoint."""
    return variables.get(VARIABLE, "") not in ("", "0")


def expected_seconds(durations: Iterable[float], bytes_to_write: int) -> float:
    """Estimate how long the last checkpoint takes, by the dumps so far or by the job's size."""
    longest = max(durations, default=0.0)
    return _LONGER * (longest or bytes_to_write / _UNMEASURED_BYTES_PER_SECOND)


def begins(walltime: float, expected: float, margin: float) -> float:
    """When the last checkpoint begins: as late as its duration and the margin allow.

    Never before half the walltime: a job whose dumps take longer would get nothing done.
    """
    return max(walltime - expected - margin, walltime / 2)


def again(tried: float, walltime: float, expected: float) -> float | None:
    """When a failed one is tried again; None once it would not end in time any more."""
    at = tried + _AGAIN_SECONDS
    return at if at + expected <= walltime else None
