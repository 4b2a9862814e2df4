# SPDX-License-Identifier: MIT
"""Make a directory in which the restore finds the image: links, and root's copies of some files.

An image is its owner's: he can change it at any time, also after it was verified.  Files that
decide what rights a process gets are therefore copied, and checked in the copy.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torqueckpt import layout
from torqueckpt.checkpointers.base import Checkpointer
from torqueckpt.errors import ImageDamaged
from torqueckpt.identity import Owner
from torqueckpt.manifest import ImageFile, Manifest
from torqueckpt.process import privileges
from torqueckpt.safe_files import Directory
from torqueckpt.store.generation import Generation

_PLACE = Path("/run")
_NAME = "torqueckpt-"


@contextmanager
def image(
    checkpointer: Checkpointer,
    generation: Generation,
    manifest: Manifest,
    owner: Owner,
    edited: dict[str, Path],
) -> Iterator[Path]:
    """Make a directory of root's that leads to all files of the image; called acting as the owner.

    edited: files to be taken in place of the image's own.
    """
    with privileges.acting_as_root():
        place = Directory.open(_PLACE.resolve())
        _sweep(place)
        new = f".{_NAME}{os.urandom(8).hex()}"
        os.mkdir(new, 0o700, dir_fd=place.fd)
        directory = place.sub(new)
        fcntl.flock(directory.fd, fcntl.LOCK_EX)  # until this restore ends, however it does
        path = place.path / new[1:]
        place.rename(new, path.name)
        directory.path = path
        os.fchown(directory.fd, 0, owner.gid)
        os.fchmod(directory.fd, 0o750)
    try:
        with generation.directory.sub(layout.IMAGE) as original:
            for file in manifest.image:
                name = file.name
                if checkpointer.left_out(name):
                    continue
                if checkpointer.decides_rights(name):
                    _copy(directory, name, _checked(checkpointer, original, name, manifest), owner)
                else:
                    _refuse_other_kinds(original, file, manifest)
                    with privileges.acting_as_root():
                        directory.link(name, str(edited.get(name, original.path / name)))
        yield path
    finally:
        if os.getuid() == 0:
            with privileges.acting_as_root():
                place.remove_tree(path.name)


def _sweep(place: Directory) -> None:
    """Remove the directories of restores that were killed: those that nobody holds a lock on.

    A process number would not do, a process in another container may share /run.
    """
    for name in place.names():
        if name.startswith(_NAME):
            try:
                with place.sub(name) as left:
                    fcntl.flock(left.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    place.remove_tree(name)
            except OSError:  # in use, or just gone
                continue


def _checked(checkpointer: Checkpointer, image: Directory, name: str, manifest: Manifest) -> bytes:
    try:
        data = image.read(name)
        asked = checkpointer.excessive_rights(data)
    except OSError as unreadable:
        raise _damaged(manifest, f"{name}: {unreadable.strerror}") from unreadable
    if asked:
        raise _damaged(manifest, f"{name} asks for {asked}")
    return data


def _refuse_other_kinds(image: Directory, file: ImageFile, manifest: Manifest) -> None:
    """Refuse what is no file of the recorded size: CRIU would wait for ever at a pipe, or loop."""
    try:
        status = os.stat(file.name, dir_fd=image.fd, follow_symlinks=False)
    except OSError as problem:
        raise _damaged(manifest, f"{file.name}: {problem.strerror}") from problem
    if not stat.S_ISREG(status.st_mode) or status.st_size != file.size:
        raise _damaged(manifest, f"{file.name} is no file of its size")


def _damaged(manifest: Manifest, problem: str) -> ImageDamaged:
    return ImageDamaged(job=manifest.job.id, generation=manifest.generation, problem=problem)


def _copy(directory: Directory, name: str, data: bytes, owner: Owner) -> None:
    with privileges.acting_as_root():
        fd = directory.open_file(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        with open(fd, "wb") as copy:
            copy.write(data)
            os.fchown(fd, 0, owner.gid)
            os.fchmod(fd, 0o640)
