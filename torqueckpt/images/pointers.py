# SPDX-License-Identifier: MIT
"""Remove the pointer directories, pointer_dir/<job>.CK, of jobs that have ended.

TORQUE's MOM leaves them for ever where checkpoint_dir is one of its $remote_checkpoint_dirs.  What
goes is an empty one, or one that holds pointers alone, of a job whose own server says that it has
ended; whatever else lies there is somebody's, and stays.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from contextlib import nullcontext, suppress

from torqueckpt import budget, typed_json
from torqueckpt.batch import pointer
from torqueckpt.batch.server import Server, server_says_ended
from torqueckpt.budget import Budget
from torqueckpt.errors import InvalidJobId
from torqueckpt.identity import ImageRef, job_id
from torqueckpt.process import privileges
from torqueckpt.safe_files import Directory
from torqueckpt.settings import Settings

_NAME = re.compile(r"(?P<job>.+)\.CK(\.old)?")  # .old: OpenPBS's, of the checkpoint before
_MEMBER = re.compile(r"([0-9]+)-([0-9]+)(?=\.)")  # how files of an array's members are named
_MOST = 1000  # pointers of one job; qalter -W checkpoint_name= makes more of them


def sweep(settings: Settings, server: Server, tell: Callable[[str], None]) -> list[str]:
    """Remove those of ended jobs, as their owner; gives their names.  For root.

    OSError when pointer_dir cannot be read.
    """
    swept = []
    with Directory.open(settings.pointer_dir) as top:
        found: dict[int, list[tuple[str, str]]] = {}
        for entry in top.entries():
            job = _job(entry.name)
            with suppress(OSError):  # a user has mounted something there, or it is gone
                if job and entry.is_dir(follow_symlinks=False):
                    uid = entry.stat(follow_symlinks=False).st_uid
                    found.setdefault(uid, []).append((entry.name, job))
        for uid, names in found.items():
            with Budget(f"pointers of uid {uid}", budget.PRUNE).part(tell):
                for name, job in names:
                    budget.spend()
                    if server_says_ended(server, job) and _removed(top, name, uid):
                        swept.append(name)
    return swept


def _job(name: str) -> str:
    """The job whose directory has this name, as servers name it; "" for any other name."""
    match = _NAME.fullmatch(name)
    try:
        return _MEMBER.sub(r"\1[\2]", job_id(match["job"]), count=1) if match else ""
    except InvalidJobId:
        return ""


def _removed(top: Directory, name: str, uid: int) -> bool:
    """Whether the directory is gone: its pointers as its owner's, then it itself, empty."""
    owned = privileges.acting_as(privileges.owner_of_uid(uid)) if uid else nullcontext()
    try:
        with owned, top.sub(name) as directory:
            names = [entry.name for _, entry in zip(range(_MOST + 1), directory.entries())]
            if len(names) > _MOST or os.fstat(directory.fd).st_uid != uid:
                return False
            if not all(_is_pointer(directory, each) for each in names):
                return False
            for each in names:
                directory.remove(each)
        os.rmdir(name, dir_fd=top.fd)
    except OSError:  # filled, emptied or closed to us in this moment: the next time
        return False
    return True


def _is_pointer(directory: Directory, name: str) -> bool:
    """Whether it is a pointer, or the empty file that OpenPBS's MOM makes where there is none."""
    status = os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
    if not stat.S_ISREG(status.st_mode):
        return False
    if status.st_size == 0:
        return True
    try:
        data = directory.read(name, pointer.LARGEST)
        typed_json.from_json(ImageRef, typed_json.load(data))
    except (OSError, typed_json.Malformed):
        return False
    return True
