# SPDX-License-Identifier: MIT
"""Find the job's processes: the exec PID, below the session leader, and its tree."""

from __future__ import annotations

import os
import re
import stat
from fnmatch import fnmatchcase

from torqueckpt.errors import (
    ForeignProcess,
    InteractiveJob,
    NoExecPid,
    OwnProgramInTree,
    SessionGone,
    SeveralExecPids,
)
from torqueckpt.identity import Owner
from torqueckpt.process import proc, sockets

_SOCKET = re.compile(r"socket:\[([0-9]+)\]")
_MOM = "pbs_mom"  # TORQUE's leads the session of an interactive job itself
_INTERACTIVE = "PBS_INTERACTIVE"  # as OpenPBS's MOM tells the job's shell
# The supervisor of a restarted job never belongs into an image of that job.
_OWN_PROGRAMS = ("rootdoor", "mom-restart", "lsf-jobstarter")


def leader(sid: int) -> proc.Stat:
    """Look up the session leader; SessionGone when it has ended."""
    found = proc.stat(sid)
    if found is None or found.ended:
        raise SessionGone(sid=sid)
    return found


def exec_process(sid: int, which: str = "exec", match: str = "") -> proc.Stat:
    """Find the process to dump from: the session leader's one child, or the leader itself.

    `match` is a glob on a child's name or program; it decides among several.  On today's TORQUE the
    child is the shell that runs the job script (contracts: measured on 6.1); on the MOMs of 2005
    it is the application.
    """
    top = leader(sid)
    if top.name == _MOM or proc.environment(top.pid).get("PBS_ENVIRONMENT") == _INTERACTIVE:
        raise InteractiveJob(sid=sid)
    if which == "session" or _is_the_job(top):
        return top
    found = [proc.stat(pid) for pid in proc.children(sid)]
    running = [each for each in found if each is not None and not each.ended]
    if match:
        running = [each for each in running if _matches(each, match)]
    if not running:
        raise NoExecPid(sid=sid)
    if len(running) > 1:
        listed = ", ".join(f"{each.pid} ({each.name})" for each in running)
        raise SeveralExecPids(sid=sid, candidates=listed)
    return running[0]


def _is_the_job(top: proc.Stat) -> bool:
    """Whether the leader is what `qsub -- program` of OpenPBS has started, and no login shell.

    MOM's shells have a dash before their name and read the script's path from a pipe of MOM's;
    PBS_JOBDIR tells OpenPBS from TORQUE, which starts shells only.
    """
    words = proc.argv(top.pid)
    if not words or words[0].startswith("-") or "PBS_JOBDIR" not in proc.environment(top.pid):
        return False
    try:
        return not stat.S_ISFIFO(os.stat(f"/proc/{top.pid}/fd/0").st_mode)
    except OSError:  # closed, by itself
        return True


def below(root: proc.Stat) -> list[proc.Stat]:
    """List `root` and all below it, root first; zombies too, which a checkpointer saves as well."""
    tree = [root]
    for each in tree:
        found = (proc.stat(pid) for pid in proc.children(each.pid))
        tree += [child for child in found if child is not None]
    return tree


def check(tree: list[proc.Stat], owner: Owner) -> None:
    """Refuse a tree with processes that no job has: torqueckpt's own programs, or another uid's."""
    refuse_restart(tree)  # first: the door is root's
    for each in tree:
        credentials = proc.credentials(each.pid)
        if credentials is None or each.ended:
            continue
        foreign = [uid for uid in credentials.uids[:3] if uid != owner.uid]
        if foreign:
            raise ForeignProcess(pid=each.pid, name=each.name, uid=foreign[0], owner=owner.name)


def refuse_restart(tree: list[proc.Stat]) -> None:
    """Refuse a tree in which a restart is going on, whose processes are not all there yet."""
    for each in tree:
        if not each.ended and _is_restart(proc.argv(each.pid)):
            raise OwnProgramInTree(pid=each.pid, name=each.name)


def open_links(tree: list[proc.Stat]) -> list[tuple[int, int, str]]:
    """List (pid, descriptor, what it points to) of all that the tree has open."""
    found = []
    for each in tree:
        try:
            for fd in os.listdir(f"/proc/{each.pid}/fd"):
                try:
                    found.append((each.pid, int(fd), os.readlink(f"/proc/{each.pid}/fd/{fd}")))
                except FileNotFoundError:
                    continue  # closed meanwhile, which says nothing of the others
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue  # ended meanwhile, or exec-only: the checkpointer will say so
    return found


def tcp(links: list[tuple[int, int, str]]) -> tuple[sockets.Tcp, ...]:
    """The TCP sockets that the tree has open, but those that are neither bound nor connected."""
    inodes = {found.group(1) for _, _, to in links if (found := _SOCKET.fullmatch(to))}
    return tuple(each for each in sockets.tcp() if each.inode in inodes) if inodes else ()


def session(sid: int) -> list[proc.Stat]:
    return [each for each in proc.everything() if each.session == sid]


def _is_restart(argv: list[str]) -> bool:
    names = [os.path.basename(word) for word in argv[:4]]
    resume = ["torqueckpt", "resume"]
    return any(n in _OWN_PROGRAMS or names[i : i + 2] == resume for i, n in enumerate(names))


def _matches(process: proc.Stat, glob: str) -> bool:
    words = proc.argv(process.pid)
    program = os.path.basename(words[0]) if words else ""
    return fnmatchcase(process.name, glob) or fnmatchcase(program, glob)
