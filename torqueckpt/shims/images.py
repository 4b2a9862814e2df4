# SPDX-License-Identifier: MIT
"""Give an image a name that its user chose: a link to the generation, or a small file.

The image itself lies in the store.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torqueckpt import layout
from torqueckpt.batch import pointer
from torqueckpt.errors import NotAnImage, StoreNotWritable
from torqueckpt.identity import ImageRef, Owner, is_lineage_name
from torqueckpt.process import privileges
from torqueckpt.safe_files import Directory
from torqueckpt.settings import Settings

_INSIDE = "torqueckpt.json"


def as_directory(place: Path, image: Path, found: ImageRef, owner: Owner) -> None:
    """Make `place` lead to the image: a link, or in an existing directory, a small file."""
    with _parent(place, owner) as parent:
        try:
            kind = os.stat(place.name, dir_fd=parent.fd, follow_symlinks=False).st_mode
        except FileNotFoundError:
            kind = stat.S_IFLNK
        if stat.S_ISLNK(kind):
            parent.point(place.name, os.fspath(image))
        elif stat.S_ISDIR(kind):
            with parent.sub(place.name) as directory:
                pointer.put(directory, _INSIDE, found)
        else:
            raise FileExistsError(errno.EEXIST, "is there and is no directory")


def as_file(place: Path, found: ImageRef, owner: Owner) -> None:
    """Write a small file `place` that names the image; an older one is replaced whole."""
    with _parent(place, owner) as parent:
        pointer.put(parent, place.name, found)


def find(place: Path, settings: Settings) -> ImageRef:
    """Find the generation that a name stands for; NotAnImage."""
    found = None
    if place.is_symlink():
        parts = Path(os.readlink(place)).parts[-3:]
        if len(parts) == 3 and parts[1].isdigit() and parts[2] == layout.IMAGE:
            found = ImageRef(parts[0], int(parts[1]))
    elif place.is_dir():
        found = pointer.read(place, _INSIDE)
    elif place.is_file():
        found = pointer.read(place.parent, place.name)
    if found is None or not is_lineage_name(found.lineage):
        raise NotAnImage(path=place, store=settings.store)
    return found


@contextmanager
def _parent(place: Path, owner: Owner) -> Iterator[Directory]:
    """Open, as the owner, the directory that the name goes into.

    As root where no user can have had a hand in it: no link on the way, root's own, closed to
    others.
    """
    try:
        if os.getuid() == 0 and (opened := _roots_own(place.parent)) is not None:
            with opened:
                yield opened
            return
        with (
            privileges.acting_as(owner),
            Directory.open(place.parent.resolve(strict=True)) as opened,
        ):
            yield opened
    except OSError as problem:
        raise StoreNotWritable(path=place, problem=problem.strerror) from problem


def _roots_own(directory: Path) -> Directory | None:
    try:
        opened = Directory.open(directory)
    except OSError:
        return None
    status = os.fstat(opened.fd)
    return opened if status.st_uid == 0 and not status.st_mode & 0o022 else None
