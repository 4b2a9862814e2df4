# SPDX-License-Identifier: MIT
"""Find the tree to dump and its lineage, from what MOM says: session id and job id.

MOM repeats itself, and several calls may come at once: one that was answered already is found.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from torqueckpt import layout, log
from torqueckpt.errors import (
    Busy,
    ForeignProcess,
    SessionGone,
    SignatureWrong,
    StoreFull,
    TorqueCkptError,
)
from torqueckpt.files import stdio
from torqueckpt.identity import Owner, ProcessId, lineage_name
from torqueckpt.manifest import Manifest
from torqueckpt.process import privileges, proc, tree
from torqueckpt.process.other_names import OtherName
from torqueckpt.records import Live
from torqueckpt.request import CheckpointRequest
from torqueckpt.settings import Settings
from torqueckpt.store import access
from torqueckpt.store.generation import Generation
from torqueckpt.store.lineage import Lineage, tree_here
from torqueckpt.store.store import OwnerStore


class LastImage(NamedTuple):
    """The newest image before this checkpoint, whose manifest is read once and passed on.

    signed: with root's key.  What is not signed is its owner's word, and decides nothing but what
    happens to that owner's own files.
    """

    generation: Generation
    manifest: Manifest
    signed: bool


class Target(NamedTuple):
    """A tree to dump; owner has the groups that its processes run with."""

    owner: Owner
    root: proc.Stat
    tree: list[proc.Stat]
    live: Live
    leader_pid: int
    open_files: list[tuple[int, int, str]]  # (pid, descriptor, what it points to)
    named: bool  # a process that somebody named, in a session of somebody's
    last: LastImage | None = None
    other_names: tuple[OtherName, ...] = ()  # of open or mapped files whose opened name is gone

    @property
    def stopped(self) -> set[ProcessId]:
        """Those that are stopped already, and that nothing of ours may continue."""
        return {each.id for each in self.tree if each.state == "T"}

    @property
    def sessions(self) -> set[int]:
        """The sessions of this job alone: the tree's, and its parent's, led by the owner.

        A job that was started from a shell which a root process leads too (su) has none of its own.
        """
        parent = proc.stat(self.root.ppid)
        found = {self.root.session}
        if self.named:
            return found if self.root.session == self.root.pid else set()
        if parent is not None and parent.pid == self.leader_pid:
            found.add(parent.session)
        return {sid for sid in found if self._leads(sid)}

    def _leads(self, sid: int) -> bool:
        credentials = proc.credentials(sid)
        return credentials is not None and set(credentials.uids[:3]) == {self.owner.uid}


def owner_of(request: CheckpointRequest, settings: Settings) -> Owner:
    """The job's owner: whom MOM names, else the user of the session."""
    if request.owner is not None:
        return access.owner_named(request.owner, settings)
    credentials = proc.credentials(_keeper(request).pid)
    if credentials is None:
        raise SessionGone(sid=request.sid)
    return privileges.owner_of_uid(credentials.uids[0])


def _keeper(request: CheckpointRequest) -> proc.Stat:
    """The process that lives as long as the job: the session leader, or the one that was named."""
    return tree.leader(request.sid if request.exec_pid is None else request.exec_pid)


def lives_as_long(lineage: Lineage, request: CheckpointRequest) -> ProcessId | None:
    """The process whose end is the job's; after a restart in place the root of its tree.

    None where neither lives; what that means is found out later.
    """
    if not gone(request):
        return _keeper(request).id
    root = tree_here(lineage.live())
    return root.id if root is not None else None


def find_lineage(
    owner_store: OwnerStore, request: CheckpointRequest, settings: Settings
) -> Lineage:
    """Find the lineage of the job's images; it is made when this is the job's first checkpoint.

    A known job id is a new job all the same when its session leader is another process than the
    recorded one: servers give ids again after a reset, and a requeued job starts over.  The id goes
    on meaning the old lineage until the new one has an image.  A session that is gone is the known
    job's: MOM calls again after a hold that has ended it.
    """
    with owner_store.lock(settings.lock_timeout_seconds, request.job_id):
        known = owner_store.lineage_of(request.job_id)
        if known is not None and (gone(request) or _runs(known, request)):
            return known
        leader = _keeper(request)
        others = owner_store.lineages_of_first(request.job_id)
        for each in others:
            if each.first_leader() == leader.id:
                return each
        taken = {each.name for each in others if each.first_leader() is not None}
        second = proc.start_epoch(leader.id)
        while lineage_name(request.job_id, second) in taken:  # started over within this second
            second += 1
        lineage = owner_store.make_lineage(lineage_name(request.job_id, second))
        lineage.write_first_leader(leader.id)
        return lineage


@contextmanager
def locked(owner_store: OwnerStore, lineage: Lineage, seconds: float) -> Iterator[int]:
    """Inside, we hold the lineage's lock, whose descriptor it gives.

    Busy after so many seconds; OwnProgramInTree when it is a restart that takes so long.  A lineage
    that holds nothing when the checkpoint fails goes again: a job that is refused leaves none.
    """
    with ExitStack() as stack:
        try:
            lock = stack.enter_context(lineage.lock(seconds))
        except Busy:
            live = lineage.live()
            keeper = proc.alive(live.keeper) if live is not None and live.tree is None else None
            tree.refuse_restart([keeper] if keeper is not None else [])
            raise
        if not owner_store.holds(lineage):  # it went so while we waited
            raise Busy(job=lineage.first_job, seconds=0)
        try:
            yield lock
        except StoreFull:  # the job is not what was in the way
            raise
        except BaseException:
            _forget_if_bare(owner_store, lineage)
            raise


def _forget_if_bare(owner_store: OwnerStore, lineage: Lineage) -> None:
    try:
        if lineage.is_bare():
            owner_store.forget(lineage)
    except (TorqueCkptError, OSError) as trouble:
        log.warning(f"{lineage.path}: it stays, and holds nothing: {trouble}")


def find_tree(live: Live | None, request: CheckpointRequest, settings: Settings) -> Target:
    """Find the tree to dump; `live` is its lineage's record, None before the first checkpoint."""
    if live is not None and live.restored and live.job == request.job_id:
        root = tree_here(live)
        if root is None:
            raise SessionGone(sid=request.sid)
        return _target(root, live, live.keeper.pid, request)
    leader = _keeper(request)
    root = leader
    if request.exec_pid is None:
        root = tree.exec_process(request.sid, settings.tree, settings.exec_match)
    first = Live(
        job=request.job_id,
        host=os.uname().nodename,
        keeper=leader.id,
        tree=root.id,
        attempt="",
        streams=(live.streams if live is not None else ())
        or stdio.of_job(request.job_id, leader.pid, tree.open_links(tree.below(root))),
        written=int(time.time()),
    )
    if live is not None and live._replace(written=first.written) == first:
        first = live
    return _target(root, first, leader.pid, request)


def _target(root: proc.Stat, live: Live, leader_pid: int, request: CheckpointRequest) -> Target:
    credentials = proc.credentials(root.pid)
    if credentials is None:
        raise SessionGone(sid=leader_pid)
    if credentials.uids[0] != os.geteuid():
        tree.refuse_restart([root])
        acting = privileges.owner_of_uid(os.geteuid()).name
        raise ForeignProcess(pid=root.pid, name=root.name, uid=credentials.uids[0], owner=acting)
    name = request.owner or privileges.owner_of_uid(credentials.uids[0]).name
    owner = Owner(name, credentials.uids[0], credentials.gids[0], credentials.groups)
    members = tree.below(root)
    links, named = tree.open_links(members), request.exec_pid is not None
    return Target(owner, root, members, live, leader_pid, links, named)


def gone(request: CheckpointRequest) -> bool:
    """Whether the process that lives as long as the job has ended.

    Of a batch system that names this process, the session's leader may have ended long ago.
    """
    keeper = proc.stat(request.sid if request.exec_pid is None else request.exec_pid)
    return keeper is None or keeper.ended


def _runs(lineage: Lineage, request: CheckpointRequest) -> bool:
    """Whether the job that MOM means is the one that was restored into this lineage."""
    live = lineage.live()
    if live is None or not live.restored or live.job != request.job_id:
        return False
    if tree_here(live) is not None:
        return True
    if request.exec_pid is not None:  # that one lives, and it is not the tree that was restored
        return False
    return proc.start_epoch(_keeper(request).id) <= live.written


def last_image(lineage: Lineage, secret: bytes) -> LastImage | None:
    """The newest image.

    None when there is none, or its manifest cannot be read, which is logged as a wrong signature
    is.
    """
    try:
        generation = lineage.newest()
        if generation is None:
            return None
        manifest, signed = generation.manifest_signed_or_not(secret)
    except TorqueCkptError as torn:
        log.warning(str(torn))
        return None
    if not signed:
        log.warning(str(SignatureWrong(path=generation.path / layout.MANIFEST)))
    return LastImage(generation, manifest, signed)


def made_already(
    lineage: Lineage,
    request: CheckpointRequest,
    since: float,
    last: LastImage | None,
    waited: bool = False,
) -> Manifest | None:
    """The newest generation, when an earlier, equal call has made it; else None.

    It is equal with the same name, or where a name tells nothing, when this call arrived before the
    generation was made.  Names that MOM makes end with the time: a client that got no clear answer
    asks again, and MOM's call of the next second is equal to one that it waited for, or that has
    just ended the job.  A call that is to end a job that still runs is never answered so: the job
    has gone on since.
    """
    if last is None or not last.signed:
        return None
    newest = last.manifest
    if newest.job.id != request.job_id or newest.lineage != lineage.name:
        return None
    if not last.generation.looks_whole(newest):
        return None
    just_now = since <= newest.created <= time.time() + 1  # not ahead: the clock was set back
    if newest.checkpoint_name != request.name:
        named = CheckpointRequest(request.sid, request.job_id, name=newest.checkpoint_name)
        retried = request.named_once and named.named_once and (waited or (request.end and just_now))
        if request.exec_pid is not None or not (retried or not request.name):
            return None
    if not request.named_once and not just_now:
        return None
    return None if request.end and _still_runs(lineage, request) else newest


def _still_runs(lineage: Lineage, request: CheckpointRequest) -> bool:
    """Whether there is a process to end: the one that was named, or the recorded tree."""
    if request.exec_pid is not None and not gone(request):
        return True
    return tree_here(lineage.live()) is not None
