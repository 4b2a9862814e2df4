# SPDX-License-Identifier: MIT
"""Put an image safely on the disk: each file fsynced, its checksum taken, compressed if wanted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Lock, Thread
from typing import TypeVar

import xxhash

from torqueckpt import budget, log
from torqueckpt.manifest import PACKED, ImageFile
from torqueckpt.safe_files import Directory

T = TypeVar("T")
_CHUNK = 1024 * 1024
_AT_ONCE = 4  # most files are small: fsynced together they wait for the disk together
_LARGE = 4 * 1024 * 1024  # bytes from which on a file is read while its fsync goes on


@contextmanager
def sealing(image: Directory, packs: Callable[[str], bool]) -> Iterator[list[ImageFile]]:
    """Inside, threads put all files of an image safely on the disk.

    Afterwards the list is complete.

    Those that `packs` names are compressed, one after the other, as the job runs again and needs
    its processors; one for whose compressed form there is no room stays as it is.
    """
    one_packs = Lock()

    def packed(name: str) -> ImageFile:
        with one_packs:
            made = _packed(image, name)
        return _sealed(image, name) if made is None else made

    def works() -> Iterator[Callable[[], ImageFile | None]]:
        sizes = {name: _size(image, name) for name in image.names()}
        for name in sorted(sizes, key=lambda name: -sizes[name]):
            if packs(name):
                yield partial(packed, name)
            elif sizes[name] < _LARGE:
                yield partial(_sealed, image, name)
            else:
                yield partial(_fsynced, image, name)
                yield partial(_digested, image, name)

    with _at_once(works()) as made:
        yield made
    image.sync()
    made.sort(key=lambda file: file.name)


def digest(fd: int, read: Callable[[int], None] | None = None) -> str:
    """XXH3-128 of an open file; `read` gets the length of each piece."""
    state = xxhash.xxh3_128()
    size = os.fstat(fd).st_size  # most files are small, and fresh memory is not for nothing
    buffer = memoryview(bytearray(min(size + 1, _CHUNK)))
    while count := os.readv(fd, [buffer]):
        budget.spend(0)  # time: its owner may have made it endless
        state.update(buffer[:count])
        if read is not None:
            read(count)
    return state.hexdigest()


def _sealed(image: Directory, name: str) -> ImageFile:
    _fsynced(image, name)
    return _digested(image, name)


def _fsynced(image: Directory, name: str) -> None:
    fd = image.open_file(name, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _digested(image: Directory, name: str) -> ImageFile:
    fd = image.open_file(name, os.O_RDONLY)
    try:
        return ImageFile(name=name, xxh3=digest(fd), size=os.fstat(fd).st_size)
    finally:
        os.close(fd)


def _packed(image: Directory, name: str) -> ImageFile | None:
    """Compress a file and put the result in its place; None, the file left, when that fails."""
    target = f"{name}{PACKED}"
    state = xxhash.xxh3_128()
    try:
        from torqueckpt import compression  # slow to import, for those who want it

        source = image.open_file(name, os.O_RDONLY)
        made = image.open_file(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        with open(source, "rb", buffering=0), open(made, "wb") as file:

            def write(data: bytes) -> None:
                state.update(data)
                file.write(data)

            compression.pack(source, write)
            file.flush()
            os.fsync(made)
            size = file.tell()
    except (OSError, ImportError) as problem:
        log.warning(f"{image.path}/{name} is not compressed: {problem}")
        image.remove(target)
        return None
    image.remove(name)
    return ImageFile(name=target, size=size, xxh3=state.hexdigest())


def _size(image: Directory, name: str) -> int:
    return os.stat(name, dir_fd=image.fd, follow_symlinks=False).st_size


@contextmanager
def _at_once(works: Iterator[Callable[[], T | None]]) -> Iterator[list[T]]:
    """Inside, threads do all works, begun in their order; afterwards the list has all results.

    The first failure is raised; after one, also of the caller's, no more is begun.
    """
    made = list[T]()
    failed: list[BaseException] = []
    turn = Lock()

    def take() -> None:
        while not failed:
            try:
                with turn:
                    work = next(works, None)
                if work is None:
                    return
                result = work()
                if result is not None:
                    made.append(result)
            except BaseException as failure:
                failed.append(failure)

    threads = [Thread(target=take) for _ in range(_AT_ONCE)]
    for thread in threads:
        thread.start()
    try:
        yield made
    except BaseException as failure:
        failed.append(failure)
        raise
    finally:
        for thread in threads:
            thread.join()
    if failed:
        raise failed[0]
