# SPDX-License-Identifier: MIT
"""Check the job's files at a restart, all at once, then bring them back to the freeze."""

from __future__ import annotations

from typing import NamedTuple

from torqueckpt import layout, log
from torqueckpt.checkpointers import registry
from torqueckpt.errors import FilesChanged, RestoreFailed, TorqueCkptError
from torqueckpt.files import check, leftovers, relocate, rollback
from torqueckpt.files.check import Findings
from torqueckpt.manifest import Manifest
from torqueckpt.process.worker import OwnerWorker, WorkerFailed
from torqueckpt.records import Intent
from torqueckpt.restart.choose import StepProgress
from torqueckpt.restart.plan import Attempt, Restart
from torqueckpt.restart.terminals import elsewhere
from torqueckpt.safe_files import ANY_SIZE
from torqueckpt.store.lineage import Lineage

_LOOKED_AT = 5  # older generations, when the chosen one will not do


class Edited(NamedTuple):
    """The names of image files that were written anew."""

    names: tuple[str, ...]


def checked(restart: Restart, lineage: Lineage, manifest: Manifest, attempt: Attempt) -> Findings:
    """Check all files of the image; gives what is to be done for them.

    FilesChanged, with all files in it, when it cannot be restarted.  Nothing is changed here.
    """
    request = restart.request
    found = _found(restart, lineage, manifest, attempt)
    problems, remedies = _problems(restart, found), []
    if found.missing:
        top = found.moved_away()[0]
        remedies.append(f"--relocate {top}=NEW would look for {top} in NEW")
    if found.changed and not _accepted(restart):
        remedies.append("--accept-changed-files would go on with changed files as they are")
    if problems:
        older = _older(restart, lineage, manifest, attempt)
        if older:
            remedies.append(f"--generation {older} has all its files")
        raise FilesChanged(
            job=request.job_id,
            generation=manifest.generation,
            files="; ".join(problems),
            remedy=f" ({'; '.join(remedies)})" if remedies else "",
        )
    return found


def _found(restart: Restart, lineage: Lineage, manifest: Manifest, attempt: Attempt) -> Findings:
    request, store = restart.request, str(restart.settings.store)
    handed_over = _handed_over(manifest)
    now = relocate.relocated(manifest, request.moves, handed_over)
    new_outputs = {stream.path for stream in attempt.streams.values()}
    elsewhere = handed_over | new_outputs
    if request.pointer is not None:  # under qsub's -c dir= it may lie among the job's files
        elsewhere.add(str(request.pointer.parent.resolve() / request.pointer.name))
    with restart.progress("compare files with their copies", check.compared(now)) as read:
        found = check.find(now, lineage.directory, elsewhere, attempt.id, store, read)
    found.wrong += leftovers.in_the_way(now.made)
    return found


def _problems(restart: Restart, found: Findings) -> list[str]:
    changed = [] if _accepted(restart) else found.changed
    return [*(f"{path} is missing" for path in found.missing), *found.wrong, *changed]


def _accepted(restart: Restart) -> bool:
    return restart.request.accept_changed or restart.settings.accept_changed_files


def _older(restart: Restart, lineage: Lineage, manifest: Manifest, attempt: Attempt) -> int:
    """The newest older generation whose files are all there, of the few looked at; 0 for none."""
    older = [number for number in lineage.numbers() if number < manifest.generation]
    for number in reversed(older[-_LOOKED_AT:]):
        try:
            recorded = lineage.generation(number).manifest(restart.key)
        except TorqueCkptError:
            continue
        if not _problems(restart, _found(restart, lineage, recorded, attempt)):
            return number
    return 0


def edit(
    restart: Restart, lineage: Lineage, manifest: Manifest, found: Findings
) -> tuple[str, ...]:
    """Write image files anew, beside the image, for files that have other names or sizes now.

    Gives their names.  Done as the owner for good: the image is his, so its reader must have no
    more rights.
    """
    request = restart.request
    terminals = elsewhere(manifest.needs.terminals)
    if not request.moves and not found.positions and not terminals:
        return ()
    for was, now in terminals.items():
        log.info(f"{request.job_id}: terminal /dev/pts/{was} is taken here, it is /dev/pts/{now}")
    checkpointer = registry.load(manifest.checkpointer, restart.settings)
    handed_over = _handed_over(manifest)

    def name_now(path: str) -> str:
        return path if path in handed_over else relocate.moved(path, request.moves)

    def write() -> Edited:
        image_dir = lineage.generation(manifest.generation).image_dir
        files = checkpointer.edited_files(image_dir, name_now, found.positions, terminals)
        with lineage.directory.make(layout.EDITED) as place:
            for name, data in files.items():
                place.write_whole(name, data, limit=ANY_SIZE)
        return Edited(tuple(files))

    try:
        return OwnerWorker(restart.owner, write).result(Edited).names
    except WorkerFailed as failed:
        reason = f"its image cannot be changed: {failed}"
        raise RestoreFailed(
            job=request.job_id, generation=manifest.generation, reason=reason
        ) from failed


def apply(lineage: Lineage, manifest: Manifest, plan: Intent, progress: StepProgress) -> None:
    """Bring the job's files back to what they were at the freeze.

    The caller settles the intent when this, or anything after it, fails.
    """
    try:
        total = rollback.copied_by(lineage.directory, plan.files)
        with progress("bring files back", total) as copied:
            rollback.apply(lineage.directory, plan.directories, plan.files, copied, plan.places)
    except OSError as problem:
        reason = f"{problem.filename}: {problem.strerror}"
        raise RestoreFailed(
            job=plan.job, generation=manifest.generation, reason=reason
        ) from problem


def _handed_over(manifest: Manifest) -> set[str]:
    return {stream.path for stream in manifest.streams} | {kept.path for kept in manifest.kept}
