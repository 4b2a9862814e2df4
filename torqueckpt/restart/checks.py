# SPDX-License-Identifier: MIT
"""Check the job's files, and whether this node will do, before a restart touches anything.

A rehearsal looks at the very same.
"""

from __future__ import annotations

import os
import re
import resource
import time
from collections.abc import Iterator
from typing import NamedTuple

from torqueckpt import log
from torqueckpt.checkpointers import registry
from torqueckpt.checkpointers.base import Checkpointer
from torqueckpt.errors import GroupsChanged, NodeDiffers, RestoreFailed, TorqueCkptError
from torqueckpt.files import build_ids, relocate
from torqueckpt.files.check import Findings
from torqueckpt.findings import HAZARD, NOTE, OK, REFUSED, Finding
from torqueckpt.manifest import Manifest
from torqueckpt.process import node, privileges
from torqueckpt.request import RestartRequest
from torqueckpt.restart import rollback, terminals
from torqueckpt.restart.plan import Attempt, Restart
from torqueckpt.rights import begin
from torqueckpt.store.lineage import Lineage

_TOLD = 5  # of many libraries or numbers

NUMBERS = "process numbers"


class Examination(NamedTuple):
    """Findings of the checks.

    files is what is to be done for the job's files, None where a finding says that it cannot.
    """

    findings: tuple[Finding, ...]
    files: Findings | None


def examine(
    restart: Restart,
    lineage: Lineage,
    manifest: Manifest,
    attempt: Attempt,
    wait_seconds: float,
) -> Examination:
    """Make all checks and change nothing.

    wait_seconds: how long to wait for process numbers in use.
    """
    files, found = None, []
    try:
        files = rollback.checked(restart, lineage, manifest, attempt)
        changes = len(files.changes)
        found.append(Finding(OK, "files", f"all there, {changes} to be brought back"))
    except TorqueCkptError as wrong:
        found.append(fails_with("files", wrong))
    try:
        privileges.with_groups(restart.owner, manifest.job.gid, manifest.job.groups)
        found.append(Finding(OK, "groups", f"the {len(manifest.job.groups)} of the image"))
    except GroupsChanged as lost:
        found.append(fails_with("groups", lost))
    try:
        checkpointer = registry.load(manifest.checkpointer, restart.settings)
    except TorqueCkptError as unknown:
        return Examination((*found, fails_with("checkpointer", unknown)), files)
    found += of_node(manifest, checkpointer, restart.request.moves)
    if any(each.severity == REFUSED for each in found):
        wait_seconds = 0
    found.append(numbers_in_time(manifest, checkpointer, wait_seconds))
    return Examination(tuple(found), files)


def approved(found: Examination, manifest: Manifest, request: RestartRequest) -> Findings:
    """What is to be done for the files, once no finding stands in the way.

    Else the first one's error.
    """
    refused = [each for each in found.findings if each.severity == REFUSED]
    for each in found.findings:
        if each.severity not in (OK, NOTE):
            log.warning(f"{manifest.job.id}: {each.severity}: {each}")
    for each in refused:
        if each.error is not None:
            raise each.error
    if refused == [each for each in refused if each.subject == NUMBERS] != []:
        reason = f"process numbers {refused[0].what}"
        raise RestoreFailed(job=manifest.job.id, generation=manifest.generation, reason=reason)
    if refused or found.files is None:
        raise NodeDiffers(
            job=request.job_id,
            generation=manifest.generation,
            host=os.uname().nodename,
            problems="; ".join(map(str, refused)),
        )
    return found.files


def fails_with(subject: str, error: TorqueCkptError) -> Finding:
    """What makes a restart fail with this very error."""
    return Finding(REFUSED, subject, str(error), error=error)


def of_node(manifest: Manifest, checkpointer: Checkpointer, moves: relocate.Moves) -> list[Finding]:
    """Check this node for all that the image needs, except free process numbers.

    See numbers_in_time().
    """
    return [
        *_cpu(manifest),
        *_kernel(manifest),
        *_program(manifest, checkpointer),
        *_builds(manifest, moves),
        *_descriptors(manifest, checkpointer),
        *_terminals(manifest),
    ]


def numbers_in_time(manifest: Manifest, checkpointer: Checkpointer, seconds: float) -> Finding:
    """Wait until the image's process numbers are free, or the time is over; then check them.

    A number in use is often that of a process that has ended and is not reaped yet.
    """
    until = time.monotonic() + seconds
    while True:
        found = process_numbers(manifest, checkpointer)
        too_high = max(checkpointer.numbers(manifest), default=0) > node.largest_number()
        if found.severity != REFUSED or too_high or time.monotonic() >= until:
            return found
        time.sleep(0.2)


def process_numbers(manifest: Manifest, checkpointer: Checkpointer) -> Finding:
    wanted = sorted(checkpointer.numbers(manifest))
    if wanted and wanted[-1] > node.largest_number():
        what = f"{wanted[-1]} is needed, {node.largest_number()} is the largest here"
        return Finding(REFUSED, NUMBERS, f"{what}: raise kernel.pid_max")
    taken = [f"{number} ({who})" for number in wanted if (who := node.holder(number))]
    if taken:
        return Finding(REFUSED, NUMBERS, f"in use: {_some(taken)}")
    return Finding(OK, NUMBERS, f"{len(wanted)}, all free" if wanted else "any will do")


def _cpu(manifest: Manifest) -> Iterator[Finding]:
    if manifest.node is None:
        yield Finding(NOTE, "CPU", "the image, of an older version, does not tell what it needs")
        return
    here = os.uname().machine
    lacking = sorted(set(manifest.node.features) - set(node.features()))
    if here != manifest.node.machine:
        yield Finding(REFUSED, "CPU", f"{manifest.node.machine} is needed, this is {here}")
    elif lacking:
        what = f"lacks what that of {manifest.host} had: {' '.join(lacking)}"
        yield Finding(REFUSED, "CPU", what)
    else:
        yield Finding(OK, "CPU", f"{len(manifest.node.features)} instruction sets, all there")


def _kernel(manifest: Manifest) -> Iterator[Finding]:
    here = os.uname().release
    if _numbers(here) < _numbers(manifest.kernel):
        what = f"{here} is older than {manifest.kernel}: what the job uses may not be there"
        yield Finding(HAZARD, "kernel", what)
    elif here != manifest.kernel:
        yield Finding(NOTE, "kernel", f"{here}, {manifest.kernel} at the checkpoint")
    else:
        yield Finding(OK, "kernel", here)


def _program(manifest: Manifest, checkpointer: Checkpointer) -> Iterator[Finding]:
    try:
        here = registry.usable_version(checkpointer)
    except TorqueCkptError as unusable:
        yield fails_with("checkpointer", unusable)
        return
    if _numbers(here) < _numbers(manifest.checkpointer_version):
        what = f"{here} is older than {manifest.checkpointer_version}, which made the image"
        yield Finding(HAZARD, "checkpointer", f"{checkpointer.name} {what}")
    else:
        yield Finding(OK, "checkpointer", f"{checkpointer.name} {here}")


def _builds(manifest: Manifest, moves: relocate.Moves) -> Iterator[Finding]:
    """Check programs and libraries by their build ids; a missing file is found with the others."""
    needed = manifest.node.builds if manifest.node is not None else ()
    other = []
    for each in needed:
        path = relocate.moved(each.path, moves)
        found = build_ids.build_id(path)
        if found != each.build_id and os.path.exists(path):
            now = f"build {found[:12]}" if found else "a file without a build id"
            other.append(f"{path} is {now}, {each.build_id[:12]} at the checkpoint")
    if other:
        yield Finding(REFUSED, "libraries", _some(other))
    elif manifest.node is not None:
        yield Finding(OK, "libraries", f"{len(needed)} programs and libraries, the same builds")


def _descriptors(manifest: Manifest, checkpointer: Checkpointer) -> Iterator[Finding]:
    needs, limit = manifest.needs, begin.hard_limits()[resource.RLIMIT_NOFILE]
    if needs.descriptor > checkpointer.highest_descriptor(limit):
        what = f"process {needs.pid} has number {needs.descriptor} open, the hard limit is {limit}"
        remedy = "raise that limit (ulimit -Hn) for the job that restarts it"
        yield Finding(REFUSED, "open files", what, remedy)


def _terminals(manifest: Manifest) -> Iterator[Finding]:
    for was, now in terminals.elsewhere(manifest.needs.terminals).items():
        what = f"taken, or too far above the free ones, so it will be /dev/pts/{now}"
        yield Finding(NOTE, f"terminal /dev/pts/{was}", what)


def _some(items: list[str]) -> str:
    more = f"; and {len(items) - _TOLD} more" if len(items) > _TOLD else ""
    return "; ".join(items[:_TOLD]) + more


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]+", version)[:3])
