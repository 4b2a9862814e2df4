# SPDX-License-Identifier: MIT
"""Go on with an array of jobs: find its unfinished members, and write their script.

Each member is a job with a lineage of its own; what makes an array of them is their id:
12[3].server is member 3 of 12[].server.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from torqueckpt.batch import qsub_options
from torqueckpt.batch.server import Server
from torqueckpt.errors import NoArray, UnknownJob
from torqueckpt.identity import Owner
from torqueckpt.ifl import errors
from torqueckpt.ifl.records import Job
from torqueckpt.resubmit import resubmit, resume_script
from torqueckpt.resubmit.resume_script import ResumeSource
from torqueckpt.settings import Settings
from torqueckpt.store import access

FINISHED, FAILED, GOES_ON, UNKNOWN = "finished", "failed", "goes on", "unknown"
_KILLED = 128  # by a signal, or the server's 256 and more: not the job's own end
_RANGE = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9})(?::([1-9][0-9]{0,8}))?)?")
_MOST = 100_000  # members; a server allows fewer


class Array(NamedTuple):
    """An array's state.  members: index → how it ended; with_image: those that can go on."""

    name: str
    members: dict[int, str]
    with_image: frozenset[int]
    openpbs: bool

    def those(self, fate: str) -> list[int]:
        return sorted(index for index, each in self.members.items() if each == fate)


def is_array(job: str) -> bool:
    return "[]" in job


def member(array: str, index: int) -> str:
    return array.replace("[]", f"[{index}]", 1)


def look(array: str, owner: Owner, settings: Settings, server: Server) -> Array:
    """Find the state of all members, from the server and from the lineages of resumed ones."""
    imaged = _imaged(array, owner, settings)
    known = _known(array, server)
    for index, job in imaged.items():
        now = _runs_as(job, owner, settings)
        if now != job:
            known[index] = _fate(_asked(server, now))
        elif index not in known:
            known[index] = UNKNOWN
    return Array(array, known, frozenset(imaged), server.is_openpbs)


def named(indices: Iterable[int], array: str, owner: Owner, settings: Settings) -> Array:
    """The array with just these members, no server being asked.

    UnknownJob when one has no image.
    """
    imaged = _imaged(array, owner, settings)
    for index in indices:
        if index not in imaged:
            raise UnknownJob(
                job=member(array, index), owner=owner.name, store=settings.store, elsewhere=""
            )
    return Array(array, dict.fromkeys(indices, FAILED), frozenset(imaged), False)


def image_of(found: Array, index: int, owner: Owner, settings: Settings) -> ResumeSource:
    """A member's image, with what the whole array asked for."""
    job = member(found.name, index)
    image = resubmit.as_known(resume_script.image_of(job, owner, settings, None), settings)
    return image._replace(asked=qsub_options.of_array(image.asked, index))


def text(
    found: Array,
    indices: list[int],
    owner: Owner,
    settings: Settings,
    options: tuple[str, ...] = (),
) -> tuple[str, ResumeSource]:
    """The script with which these members go on, and the image whose options it has."""
    if not indices:
        raise NoArray(job=found.name, problem="no member with an image has failed")
    if found.openpbs and len(indices) == 1:
        alone = member(found.name, indices[0])
        raise NoArray(job=found.name, problem=f"just one: torqueckpt resume-job '{alone}'")
    images = [image_of(found, index, owner, settings) for index in indices]
    hosts = sorted({each.manifest.host for each in images})
    if not settings.store_shared and len(hosts) > 1:
        problem = f"their images lie on {', '.join(hosts)}; resume each host's with --members"
        raise NoArray(job=found.name, problem=problem)
    # OpenPBS takes ranges alone, so its members are counted anew
    numbers = range(len(indices)) if found.openpbs else indices
    wanted = f"-J 0-{len(indices) - 1}" if found.openpbs else f"-t {','.join(map(str, indices))}"
    title = images[0].manifest.job.name.removesuffix(f"-{indices[0]}")
    members = [(number, member(found.name, index)) for number, index in zip(numbers, indices)]
    script = resume_script.array_text(
        images[0], title, found.name, wanted, members, settings, options
    )
    return script, images[0]


def parse(indices: str) -> list[int]:
    """Parse 3,7-9 and 0-10:2, as at qsub; ValueError."""
    found: set[int] = set()
    for item in indices.partition("%")[0].split(","):
        match = _RANGE.fullmatch(item.strip())
        if match is None:
            raise ValueError(f"{item!r}: N, N-M or N-M:STEP was expected")
        first, last = int(match.group(1)), int(match.group(2) or match.group(1))
        if last - first > _MOST:
            raise ValueError(f"{item!r}: too many")
        found.update(range(first, last + 1, int(match.group(3) or 1)))
    return sorted(found)


def _imaged(array: str, owner: Owner, settings: Settings) -> dict[int, str]:
    """The members that have images: index → job id."""
    before, after = array.split("[]", 1)
    pattern = re.compile(re.escape(before) + r"\[([0-9]{1,9})\]" + re.escape(after))
    with access.as_owner(owner, settings, store_optional=True) as owner_store:
        if owner_store is None:
            raise UnknownJob(job=array, owner=owner.name, store=settings.store, elsewhere="")
        ids = owner_store.ids()
    found = ((pattern.fullmatch(job), job) for job in ids)
    return {int(match.group(1)): job for match, job in found if match is not None}


def _known(array: str, server: Server) -> dict[int, str]:
    """The members that the server knows: TORQUE lists all at once, OpenPBS each by its name."""
    names = ["job_state", "exit_status", "Exit_status", "array_indices_submitted"]
    if not server.is_openpbs:
        try:
            listed = server.jobs(["job_state", "exit_status"], where=array)
        except errors.UnknownJob:
            return {}
        numbered = ((re.search(r"\[([0-9]+)\]", job.id), job) for job in listed)
        return {int(match.group(1)): _fate(job) for match, job in numbered if match is not None}
    parent = _asked(server, array, names)
    indices = parent.text("array_indices_submitted") if parent is not None else ""
    try:
        found = parse(indices)
    except ValueError:
        return {}
    return {index: _fate(_asked(server, member(array, index), names)) for index in found}


def _asked(server: Server, job: str, names: Iterable[str] = ()) -> Job | None:
    """Ask the server for the job; None when it does not know it any more."""
    try:
        return server.job(job, names, ended=True)
    except errors.UnknownJob:
        return None


def _fate(job: Job | None) -> str:
    if job is None:
        return UNKNOWN
    if not job.has_ended:
        return GOES_ON
    status = job.exit_status
    if status is None:
        return UNKNOWN
    return FINISHED if 0 <= status < _KILLED else FAILED


def _runs_as(job: str, owner: Owner, settings: Settings) -> str:
    """The job that last went on with this member; itself when none did."""
    with access.lineage_if_any(job, owner, settings) as found:
        live = found[1].live() if found is not None else None
    return live.job if live is not None else job
