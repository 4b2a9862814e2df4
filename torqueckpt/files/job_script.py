# SPDX-License-Identifier: MIT
"""Keep the spooled job script, which the batch system removes and a restart needs.

Bash keeps it open as descriptor 255, dash as 10, and both read their next command from it after a
restart.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable
from pathlib import PurePath

from torqueckpt import layout
from torqueckpt.manifest import Kept, OpenFile
from torqueckpt.safe_files import Directory

_READING = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_SPOOLED = ("mom_priv", "jobs")  # .../mom_priv/jobs/<jobid>.SC on TORQUE, OpenPBS and the local MOM
# LSF's starter's, and what `bsub < script` becomes: <seconds>.<jobid>.shell
_LSFS = re.compile(r"chkpnt_script\.sh|[0-9]{9,12}\.[0-9]+(\.[0-9]+)?\.shell")


def is_spooled(path: PurePath) -> bool:
    """Whether a file of that name can be the batch system's copy of a job script."""
    return path.parts[-3:-1] == _SPOOLED or _LSFS.fullmatch(path.name) is not None


def is_moms(path: PurePath) -> bool:
    """Whether a file of that name can be one that MOM makes for a job and removes after it."""
    return path.parent.name in ("spool", "jobs") and path.suffix in (".OU", ".ER", ".SC")


def keep(directory: Directory, links: Iterable[tuple[int, int, str]]) -> dict[str, str]:
    """Copy each job script among (pid, descriptor, path); gives path → name of the copy.

    In a restarted job the open file is our copy already.
    """
    copies: dict[str, str] = {}
    for pid, fd, path in links:
        where = PurePath(path)
        if where.parent == directory.path:
            copies[path] = where.name
        elif is_spooled(where) and path not in copies and where.name not in copies.values():
            script = os.open(f"/proc/{pid}/fd/{fd}", _READING)
            with open(script, "rb") as file:
                status = os.fstat(script)
                if not stat.S_ISREG(status.st_mode):  # a user may have such names too
                    continue
                if not directory.has(where.name):
                    if status.st_size > layout.SCRIPT_BYTES:
                        raise OSError(errno.EFBIG, "the job script is too large to keep", path)
                    data = file.read(layout.SCRIPT_BYTES + 1)
                    directory.write_whole(where.name, data, limit=layout.SCRIPT_BYTES)
            copies[path] = where.name
    return copies


def as_of_freeze(copies: dict[str, str], files: Iterable[OpenFile]) -> tuple[Kept, ...]:
    """Describe the copies for the manifest: each with the offset that the tree reads on at."""
    offsets = {file.path: file.offset for file in files if file.path in copies}
    return tuple(Kept(path, copies[path], offset) for path, offset in offsets.items())


def open_copies(directory: Directory, kept: Iterable[Kept]) -> list[tuple[int, str]]:
    """Open the copies for a restore; gives (descriptor, path in the image) for each.

    An inherited descriptor keeps its own offset, so it is set here.
    """
    opened = []
    for each in kept:
        fd = directory.open_file(each.copy, os.O_RDONLY)
        os.lseek(fd, each.offset, os.SEEK_SET)
        opened.append((fd, each.path))
    return opened
