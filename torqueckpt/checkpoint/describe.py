# SPDX-License-Identifier: MIT
"""Describe a new image in its manifest: what was asked for, what the image says, what this node is.

The image is read by a process that has become the owner for good: its files are his.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from itertools import starmap
from typing import NamedTuple

from torqueckpt import layout, log, manifest
from torqueckpt.batch import job_details
from torqueckpt.checkpoint.plan import CheckpointPlan, Dumped, SavedImage
from torqueckpt.checkpoint.target import Target
from torqueckpt.checkpointers.base import Dump, ImageFacts, Unreachable
from torqueckpt.errors import DumpFailed, TorqueCkptError
from torqueckpt.files import build_ids, check, job_script
from torqueckpt.files.record import Look
from torqueckpt.manifest import Job, Manifest, Node, OpenFile, Process
from torqueckpt.process import monotonic_waits, node, proc, signals, sockets
from torqueckpt.process.worker import OwnerWorker, WorkerFailed
from torqueckpt.store.generation import Generation
from torqueckpt.store.lineage import Lineage

_SECONDS = 300  # for reading, once the image is there


def manifest_of(
    plan: CheckpointPlan, generation: Generation, dumped: Dumped, saved: SavedImage
) -> Manifest:
    facts, seen = saved.facts, dumped.seen
    return Manifest(
        format=manifest.FORMAT,
        lineage=plan.lineage.name,
        generation=generation.number,
        job=_job(plan, saved.scripts),
        checkpoint_name=plan.request.name,
        created=int(time.time()),
        host=os.uname().nodename,
        boot_id=proc.boot_id(),
        monotonic_seconds=monotonic_waits.now(),
        waiting=plan.waiting,
        kernel=os.uname().release,
        checkpointer=plan.checkpointer.name,
        checkpointer_version=plan.checkpointer_version,
        exec_pid=plan.target.root.pid,
        sid=plan.request.sid,
        established_tcp=dumped.established_tcp,
        processes=facts.processes,
        files=facts.files,
        watched=seen.watched,
        rules=seen.rules,
        remarks=seen.remarks,
        streams=saved.streams,
        kept=job_script.as_of_freeze(saved.scripts, facts.files),
        image=saved.image,
        frozen_us=facts.frozen_us,
        wall_ms=dumped.wall_ms,
        node=Node(os.uname().machine, node.features(), facts.builds),
        ceiling=plan.ceiling,
        connections=dumped.connections,
        listening=_listening(plan),
        needs=facts.needs,
        places=seen.places,
        made=facts.made,
        made_for_job=seen.made_for_job,
        suspended=_suspended(plan, facts.processes),
    )


def _suspended(plan: CheckpointPlan, processes: tuple[Process, ...]) -> tuple[int, ...]:
    """Those that a restart has to continue; a process that is new since was its root's."""
    root = plan.target.root
    before = {each.pid: each for each in plan.target.tree}
    found = ((each, before.get(each.pid, root)) for each in processes)
    living = {each.pid: (was.session, each.stopped) for each, was in found if not was.ended}
    sessions = {pid: session for pid, (session, _) in living.items()}
    stopped = [pid for pid, (_, stands) in living.items() if stands]
    return signals.suspended(root.pid, sessions, stopped, plan.stopped_themselves)


def _listening(plan: CheckpointPlan) -> tuple[int, ...]:
    uid = plan.target.owner.uid
    ears = (each for each in plan.tcp if each.state == sockets.LISTENING and each.uid == uid)
    return tuple(sorted({each.local[1] for each in ears}))


def _job(plan: CheckpointPlan, scripts: dict[str, str]) -> Job:
    owner, live, lineage = plan.target.owner, plan.target.live, plan.lineage
    script = _script(lineage, scripts)
    known = job_details.of_job(live.job, plan.target.leader_pid, script, plan.settings)
    if not known.submit_dir:  # restarted in place: MOM sets nothing then
        if plan.target.last is not None:
            return plan.target.last.manifest.job._replace(id=live.job)
        for number in reversed(lineage.numbers()):
            try:
                return lineage.generation(number).manifest().job._replace(id=live.job)
            except TorqueCkptError as torn:
                log.warning(str(torn))
    return Job(
        id=live.job,
        owner=owner.name,
        uid=owner.uid,
        gid=owner.gid,
        groups=owner.groups,
        start=proc.start_epoch(live.keeper),
        name=known.name,
        spec=known.spec,
        submit_dir=known.submit_dir,
        directives=known.directives,
    )


def _script(lineage: Lineage, scripts: dict[str, str]) -> str:
    """The job script's text, which its #PBS lines are read from."""
    with lineage.directory.make(layout.KEPT) as directory:
        names = [name for name in scripts.values() if name.endswith(".SC")]
        texts = [directory.read(name, layout.SCRIPT_BYTES) for name in names[:1]]
    return texts[0].decode("utf-8", "replace") if texts else ""


class Reader:
    """Reads the finished image in a worker that is started before the dump.

    By the time that there is an image, the worker has imported what reading takes, which is longer
    than the reading of most.
    """

    def __init__(self, plan: CheckpointPlan, dump: Dump) -> None:
        checkpointer, target = plan.checkpointer, plan.target
        waits, self._says = os.pipe()

        def told() -> ImageFacts:
            os.close(self._says)
            read_image = checkpointer.image_reader() if checkpointer.has_freeze_hook else None
            if os.read(waits, 1) == b"":
                raise EOFError("there is no image")
            if read_image is None:
                return ImageFacts(_processes(target), (), 0)
            found = read_image(dump.image_dir, dump.work_dir)
            mapped = (file.path for file in found.files if file.fd < 0 and not file.deleted)
            lost = starmap(Unreachable, check.unreachable(found.files))
            return found._replace(builds=build_ids.of_files(mapped), unreachable=tuple(lost))

        self._job = plan.job
        self._worker = OwnerWorker(target.owner, told, _SECONDS)
        self._running = True
        os.close(waits)

    def close(self) -> None:
        os.close(self._says)
        if self._running:
            self._worker.stop()

    def start(self) -> None:
        """Have the worker read the image, which is complete and not changed any more."""
        self._worker.give(_SECONDS)
        with suppress(BrokenPipeError):  # it was killed: facts() tells
            os.write(self._says, b"\n")

    def facts(self, dumped: Dumped) -> ImageFacts:
        """What the image says, completed by what was seen of the files at the freeze.

        Its time of standing still includes that of a pre-dump.
        """
        self._running = False
        try:
            found = self._worker.result(ImageFacts)
        except WorkerFailed as failed:
            raise unreadable(self._job, failed) from failed
        files = _completed(found.files, dumped.seen) or dumped.seen.open
        return found._replace(files=files, frozen_us=found.frozen_us + dumped.frozen_before_us)


class _Mended(NamedTuple):
    """What of the image was repaired, in words."""

    told: tuple[str, ...]


def repair(plan: CheckpointPlan, dump: Dump) -> None:
    """Repair in the image what the checkpointer is known to save wrongly."""
    checkpointer, target = plan.checkpointer, plan.target
    links = (to for _, _, to in target.open_files)
    if not dump.other_names and not any(
        to.startswith(checkpointer.links_to_repair) for to in links
    ):
        return
    mending = OwnerWorker(target.owner, lambda: _Mended(tuple(checkpointer.repair(dump))))
    try:
        told = mending.result(_Mended).told
    except WorkerFailed as failed:
        raise unreadable(plan.job, failed) from failed
    for each in told:
        log.info(f"{plan.job}: {each}")


def unreadable(job: str, why: WorkerFailed) -> DumpFailed:
    return DumpFailed(job=job, reason=f"its image cannot be read: {why}")


def _processes(target: Target) -> tuple[Process, ...]:
    return tuple(
        Process(each.pid, each.ppid, each.name, proc.cwd(each.pid), each.state == "T")
        for each in target.tree
    )


def _completed(files: tuple[OpenFile, ...], seen: Look) -> tuple[OpenFile, ...]:
    looked_at = {(file.pid, file.fd): file for file in seen.open}
    mapped = {file.path for file in seen.open if file.mapped}
    return tuple(
        file._replace(
            device=beside.device,
            inode=beside.inode,
            size=beside.size if beside.fd >= 0 else file.size,
            mapped=file.path in mapped,
        )
        for file in files
        for beside in [looked_at.get((file.pid, file.fd), file)]
    )
