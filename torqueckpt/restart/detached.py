# SPDX-License-Identifier: MIT
"""Restore a tree as our own child: descriptors handed over, pids in use waited for."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from torqueckpt import layout, log, paths, run
from torqueckpt.checkpointers.base import Checkpointer, Restore
from torqueckpt.errors import ImageDamaged, ManifestTorn, RestoreFailed, RestoreTimeout
from torqueckpt.files import intent, leftovers
from torqueckpt.identity import ProcessId
from torqueckpt.manifest import Manifest
from torqueckpt.process import attributes, ceiling, open_files, privileges, proc, signals, tree
from torqueckpt.records import Intent
from torqueckpt.restart import image_view, output
from torqueckpt.restart.plan import RestorePlan
from torqueckpt.restart.verify import VARIABLE
from torqueckpt.rights import begin, contain
from torqueckpt.store.generation import Generation
from torqueckpt.store.lineage import Lineage

if TYPE_CHECKING:
    from torqueckpt.rights.tcp_repair import Repair


def intended(lineage: Lineage, manifest: Manifest) -> Intent:
    plan = intent.read(lineage.directory)
    if plan is None or plan.generation != manifest.generation:
        raise ManifestTorn(path=lineage.path, problem="no restart of this generation was prepared")
    known = {stream.name for stream in manifest.streams}
    for stream in plan.streams:  # the plan is the owner's word
        try:
            if stream.name not in known:
                raise ValueError(f"the image has no {stream.name}")
            os.close(output.open_stream(stream))
        except (OSError, ValueError) as problem:
            reason = f"{stream.path}: {problem}"
            raise RestoreFailed(
                job=manifest.job.id, generation=manifest.generation, reason=reason
            ) from problem
    return plan


def restore(plan: RestorePlan) -> ProcessId:
    """Restore the tree; gives its root, which is our own child.

    What passes is waited for: a taken pid is often a zombie's whose parent has not looked yet.
    While the job's memory is still verified, the restored tree stands still.
    """
    checkpointer, manifest, verifier = plan.checkpointer, plan.manifest, plan.verifier
    generation = plan.lineage.generation(manifest.generation)
    if missing := checkpointer.lacks(manifest.established_tcp):
        raise RestoreFailed(job=manifest.job.id, generation=manifest.generation, reason=missing)
    began, longest = time.monotonic(), 0
    files = output.descriptors(plan.lineage, manifest, plan.intended)
    with files as inherited, _in_sight(plan, generation) as image_dir:
        work_dir, tcp = generation.work_dir, manifest.established_tcp
        asked = Restore(image_dir, work_dir, tcp, inherited, streamed=manifest.packed)
        while True:
            generation.forget_log("restore")
            _forget_connections(plan)
            finished, limit, problem = _run(plan, asked)
            if finished.ok and not problem:
                break
            signals.end_child(manifest.exec_pid)
            leftovers.remove(plan.intended.leftovers)
            reason = (
                problem
                or checkpointer.reason(generation.work_dir, "restore")
                or finished.last_line()
            )
            reason = reason or f"{checkpointer.name} ended with {finished.status}"
            lasts = checkpointer.passes_seconds(reason, plan.settings.pid_wait_seconds)
            longest = max(longest, lasts)
            if finished.status is not None and lasts and time.monotonic() - began < longest:
                time.sleep(0.5)
                continue
            if verifier is not None:
                verifier.refuse_damaged()  # the better reason, and then there may be another image
            if finished.status is None:
                raise RestoreTimeout(job=manifest.job.id, seconds=limit)
            raise RestoreFailed(job=manifest.job.id, generation=manifest.generation, reason=reason)
    if verifier is not None:
        try:
            verifier.refuse_damaged()  # known by now, if at-freeze has waited
        except ImageDamaged:
            signals.end_child(manifest.exec_pid)
            raise
        verifier.close()
    return _own_child(manifest)


def _forget_connections(plan: RestorePlan) -> None:
    """Have the kernel forget those of the job before, which it would remember for a minute."""
    manifest = plan.manifest
    if not manifest.connections and not manifest.listening:
        return
    from torqueckpt.rights import tcp_leftovers  # slow to import, and few jobs have any

    count = tcp_leftovers.forget(manifest, plan.owner)
    if count:
        log.info(f"{manifest.job.id}: the kernel has forgotten {count} of its ended connections")


def _run(plan: RestorePlan, asked: Restore) -> tuple[run.Finished, int, str]:
    """Run the checkpointer once; gives the seconds that it had, and why connections failed."""
    library = plan.checkpointer.tcp_library
    if not asked.established_tcp or library is None:
        return (*_run_once(plan, asked), "")
    from torqueckpt.rights.tcp_repair import restoring  # slow to import, and few jobs have any

    seconds = plan.settings.restore_timeout_seconds
    seconds += round(plan.verifier.seconds) if plan.verifier is not None else 0
    with restoring(library, plan.owner, plan.manifest.connections, seconds) as repair:
        return (*_run_once(plan, asked, repair), repair.report().problem)


def _run_once(
    plan: RestorePlan, asked: Restore, repair: Repair | None = None
) -> tuple[run.Finished, int]:
    checkpointer, verifier = plan.checkpointer, plan.verifier
    waits_at = verifier.waits_at() if verifier is not None else ()
    at_freeze = paths.installation() / "at-freeze" if waits_at or repair is not None else None
    argv = checkpointer.restore_argv(asked._replace(at_freeze=at_freeze))
    limit = plan.settings.restore_timeout_seconds
    limit += round(verifier.seconds) if waits_at and verifier is not None else 0
    told = {VARIABLE: str(waits_at[0])} if waits_at else {}
    rights = checkpointer.capabilities(asked.established_tcp)
    had = plan.manifest.ceiling
    own = attributes.environment(had) if had is not None else {}
    mine = {**own, **checkpointer.preloaded(checkpointer.restore_library, repair is not None)}
    fds = repair.fds if repair is not None else ()
    with open_files.as_many_as_may_be():  # the job may have raised its own: some runtimes do
        finished = contain.run_as_parent(
            privileges.as_owner_argv(plan.owner, rights, argv, ceiling=plan.manifest.ceiling),
            plan.owner,
            rights,
            timeout_seconds=limit,
            environment={**told, **(repair.environment if repair is not None else {}), **mine},
            keep_fds=(plan.lock, *waits_at, *fds, *(fd for fd, _ in asked.inherited)),
            in_child=partial(be_scheduled, plan),
            end_what_it_left=lambda: _end_what_was_left(checkpointer, plan.manifest.exec_pid),
        )
    return finished, limit


def be_scheduled(plan: RestorePlan) -> None:
    """In the child that becomes the checkpointer: as we were called, or as the job was.

    Where it restarts in place, what we were called with is the daemon's own.
    """
    begin.put_back()
    if plan.in_place and plan.manifest.ceiling is not None:
        ceiling.take(plan.manifest.ceiling)


def _own_child(manifest: Manifest) -> ProcessId:
    root = proc.stat(manifest.exec_pid)
    if root is None or root.ppid != os.getpid():
        raise RestoreFailed(
            job=manifest.job.id,
            generation=manifest.generation,
            reason=f"process {manifest.exec_pid} did not become a child of its supervisor",
        )
    return root.id


@contextmanager
def _in_sight(plan: RestorePlan, generation: Generation) -> Iterator[Path]:
    """Inside, the restore finds the image, or is handed its compressed files, in a directory."""
    checkpointer, manifest = plan.checkpointer, plan.manifest
    edited = {name: plan.lineage.path / layout.EDITED / name for name in plan.intended.edited}
    limits = begin.hard_limits()
    sight = image_view.image(checkpointer, generation, manifest, plan.owner, edited, limits)
    with sight as image_dir:
        if not manifest.packed:
            yield image_dir
            return
        try:
            from torqueckpt.restart import serving  # slow to import, and seldom wanted
        except ImportError as missing:
            raise RestoreFailed(
                job=manifest.job.id,
                generation=manifest.generation,
                reason=f"it is compressed, and this node cannot unpack it: {missing}",
            ) from missing
        with serving.served(checkpointer.stream(), image_dir, plan.owner):
            yield image_dir


def _end_what_was_left(checkpointer: Checkpointer, root_pid: int) -> None:
    """Kill what a killed restore has left in our session: half of a tree, and its own helpers."""
    signals.end_child(root_pid)
    me, name = proc.still_me(), Path(checkpointer.program).name
    ours = (each for each in tree.session(os.getsid(0)) if each.name == name)
    signals.send_all(
        (each.id for each in ours if each.start_ticks >= me.start_ticks), signal.SIGKILL
    )


def unlock(lock: int) -> None:
    """Release the lock, whoever else has a copy of its descriptor, other programs too."""
    fcntl.flock(lock, fcntl.LOCK_UN)
