# SPDX-License-Identifier: MIT
"""Compress files of images: zstd at its fastest usual level, with a checksum of its own.

Memory is needed for a window only, whatever the size.  Only this module imports zstandard.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import zstandard

_LEVEL = 1
_CHUNK = 256 * 1024  # each process of a job has a file of its own, and all are unpacked at once


def pack(source: int, write: Callable[[bytes], object]) -> None:
    """Compress all of an open file, piece by piece."""
    packer = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compressobj()
    buffer = memoryview(bytearray(_CHUNK))
    while count := os.readv(source, [buffer]):
        write(packer.compress(buffer[:count]))
    write(packer.flush())


def unpacked(source: int) -> Iterator[bytes]:
    """Unpack an open file, piece by piece.

    ValueError at a piece that is damaged; a file that was cut off ends early.
    """
    with _reading(source) as reader:
        while piece := reader.read(_CHUNK):
            yield piece


def parts(source: int, wanted: Iterable[tuple[int, int]]) -> Iterator[bytes]:
    """Unpack these (offset, length) parts, which must be in order; fails as unpacked() does."""
    with _reading(source) as reader:
        for offset, length in wanted:
            reader.seek(offset)
            yield reader.read(length)


@contextmanager
def _reading(source: int) -> Iterator[zstandard.ZstdDecompressionReader]:
    with open(source, "rb", buffering=0, closefd=False) as file:
        try:
            yield zstandard.ZstdDecompressor().stream_reader(file, _CHUNK)
        except (zstandard.ZstdError, OSError) as damaged:
            raise ValueError(f"no compressed file that is whole: {damaged}") from damaged
