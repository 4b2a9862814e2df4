# SPDX-License-Identifier: MIT
"""Names of processes, jobs and owners.  Nothing from outside becomes a path unchecked."""

from __future__ import annotations

import re
from typing import NamedTuple

from torqueckpt.errors import InvalidJobId

# 12.server, 12[3].server, 12[].server, 12-3.server (array members of TORQUE 2.x); LSF: 12, 12[3];
# 12.server:15201 where the server has another port than the usual one
_JOB_ID = re.compile(
    r"[0-9]{1,12}(?:-[0-9]{1,9})?(?:\[[0-9]{0,9}\])?(?:\.[A-Za-z0-9][A-Za-z0-9_.-]{0,120}(?::[0-9]{1,5})?)?"
)

_LINEAGE = re.compile(_JOB_ID.pattern + r"@[0-9]{1,12}")


class ImageRef(NamedTuple):
    """An image by its lineage and generation, as a pointer file has them."""

    lineage: str
    generation: int


class ProcessId(NamedTuple):
    """A process, told apart from any later one with the same pid.

    start_ticks is field 22 of /proc/PID/stat (clock ticks since boot): it does not move when the
    clock is set, unlike a creation time in seconds.
    """

    boot_id: str
    pid: int
    start_ticks: int


class Owner(NamedTuple):
    """The user who owns a job; groups are the supplementary ones that the job runs with."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]


def job_id(text: str) -> str:
    """Check that `text` is a job id of any of the batch systems; else InvalidJobId."""
    if not is_job_id(text):
        raise InvalidJobId(text=text)
    return text


def is_job_id(text: str) -> bool:
    return _JOB_ID.fullmatch(text) is not None and ".." not in text


def lineage_name(first_job: str, start_epoch: int) -> str:
    """Make a lineage's directory name, of id and start time.

    Servers give ids again after a reset.
    """
    return f"{job_id(first_job)}@{start_epoch}"


def is_lineage_name(text: str) -> bool:
    return _LINEAGE.fullmatch(text) is not None and ".." not in text
