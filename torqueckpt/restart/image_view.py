# SPDX-License-Identifier: MIT
"""Make a directory in which the restore finds the image: links, and root's copies of some files.

An image is its owner's: he can change it at any time, also after it was verified.  Files that
decide what rights a process gets are therefore copied, and checked in the copy.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from torqueckpt import layout
from torqueckpt.checkpointers import image_rules
from torqueckpt.checkpointers.base import Checkpointer
from torqueckpt.errors import RestoreFailed
from torqueckpt.identity import Owner
from torqueckpt.manifest import Manifest
from torqueckpt.process import privileges
from torqueckpt.rights import run_directory
from torqueckpt.safe_files import Directory
from torqueckpt.store.generation import Generation

# acl(5): an access list as Linux keeps it (linux/posix_acl_xattr.h), each entry (tag, rights, who).
_ACCESS_LIST, _VERSION = "system.posix_acl_access", 2
_FILES_OWNER, _USER, _FILES_GROUP, _MASK, _OTHERS = 0x01, 0x02, 0x04, 0x10, 0x20
_NOBODY = 0xFFFFFFFF
_READ, _WRITE, _ENTER = 4, 2, 1


@contextmanager
def image(
    checkpointer: Checkpointer,
    generation: Generation,
    manifest: Manifest,
    owner: Owner,
    edited: dict[str, Path],
    hard_limits: Sequence[int],
) -> Iterator[Path]:
    """Make a directory of root's that leads to all files of the image; called acting as the owner.

    edited: files to be taken in place of the image's own.  hard_limits: those of the restore.
    """
    with privileges.acting_as_root():
        directory = run_directory.make()
    path = directory.path
    try:
        _show(directory.fd, _READ | _ENTER, owner, manifest)
        with generation.directory.sub(layout.IMAGE) as original:
            for file in manifest.image:
                name = file.name
                if checkpointer.left_out(name):
                    continue
                copy = image_rules.checked(checkpointer, original, file, manifest)
                if copy is not None:
                    copy = checkpointer.limited_rights(copy, hard_limits)
                    _copy(directory, name, copy, owner, manifest)
                else:
                    with privileges.acting_as_root():
                        directory.link(name, str(edited.get(name, original.path / name)))
        yield path
    finally:
        if os.getuid() == 0:
            run_directory.remove(path)


def refuse_excessive(
    checkpointer: Checkpointer, generation: Generation, manifest: Manifest
) -> None:
    """Refuse what image() would, of files that ask for more than the job had; ImageDamaged."""
    with generation.directory.sub(layout.IMAGE) as original:
        for file in manifest.image:
            if checkpointer.decides_rights(file.name):
                image_rules.checked(checkpointer, original, file, manifest)


def keeps_access_lists() -> bool:
    """Whether /run does, without which no image is restored; root asks."""
    with run_directory.make() as tried:
        try:
            _let_read(tried.fd, _READ, os.getuid())
            return True
        except OSError as problem:
            if problem.errno != errno.ENOTSUP:
                raise
            return False
        finally:
            run_directory.remove(tried.path)


def _copy(directory: Directory, name: str, data: bytes, owner: Owner, manifest: Manifest) -> None:
    with privileges.acting_as_root():
        fd = directory.open_file(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        with open(fd, "wb") as copy:
            copy.write(data)
            _show(fd, _READ, owner, manifest)


def _show(fd: int, rights: int, owner: Owner, manifest: Manifest) -> None:
    """Let the owner, and nobody else but root, read what is root's: his group has no part in it.

    Without access lists there is no way to: it would have to be his own, to change as well.
    """
    try:
        with privileges.acting_as_root():
            _let_read(fd, rights, owner.uid)
    except OSError as problem:
        if problem.errno != errno.ENOTSUP:
            raise
        where = run_directory.PLACE
        reason = f"{where} must be on a file system with access lists (tmpfs has them)"
        raise RestoreFailed(
            job=manifest.job.id, generation=manifest.generation, reason=reason
        ) from problem


def _let_read(fd: int, rights: int, uid: int) -> None:
    entries = (
        (_FILES_OWNER, rights | _WRITE, _NOBODY),
        (_USER, rights, uid),
        (_FILES_GROUP, 0, _NOBODY),
        (_MASK, rights, _NOBODY),
        (_OTHERS, 0, _NOBODY),
    )
    listed = b"".join(struct.pack("<HHI", *entry) for entry in entries)
    os.setxattr(fd, _ACCESS_LIST, struct.pack("<I", _VERSION) + listed)
