# SPDX-License-Identifier: MIT
"""Read and write CRIU's page maps, pagemap-*.img (source: criu's pagemap.proto, measured on 4.2.1).

A pagemap names its pages file, then runs of pages, by address; the pages of those that are present
stand in the pages file one behind the other, in that order, and nothing says where else.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from torqueckpt.checkpointers.criu.protobuf import Reader, content, first, raw_messages

PAGE = mmap.PAGESIZE
_RUNS = 100_000_000  # of pages: a large job has many, and its file's size is bounded
IN_PARENT, _LAZY, PRESENT = 1, 2, 4  # the flags that criu knows

_READER = Reader(
    {
        # The head of a pagemap is read as such an entry too: its field 1 is pages_id.
        "pagemap_entry": {
            "vaddr": (1, "uint64"),
            "compat_nr_pages": (2, "uint32"),
            "in_parent": (3, "bool"),
            "flags": (4, "uint32"),
            "nr_pages": (5, "uint64"),
        },
    }
)


class Run(NamedTuple):
    """Consecutive pages; in shared memory the address counts from its beginning."""

    address: int
    pages: int
    flags: int

    @property
    def size(self) -> int:
        return self.pages * PAGE

    @property
    def end(self) -> int:
        return self.address + self.size

    @property
    def in_parent(self) -> bool:
        return bool(self.flags & IN_PARENT)

    @property
    def present(self) -> bool:
        return bool(self.flags & PRESENT) and not self.in_parent


def read(file: Path) -> tuple[int, list[Run]]:
    """Read the number of the pages file, and the runs; 0 and none when the file is missing."""
    entries = list(_READER.messages(file, "pagemap_entry", _RUNS))
    runs = []
    for each in entries[1:]:
        flags = each.flags if each.HasField("flags") else PRESENT
        flags = IN_PARENT if each.in_parent else flags
        runs.append(Run(each.vaddr, each.nr_pages or each.compat_nr_pages, flags))
    return (entries[0].vaddr if entries else 0), runs


def written(file: Path, runs: Iterable[Run]) -> bytes:
    """Make a page map like that in `file`, with other runs."""
    data = content(file)
    head = next(raw_messages(file.name, data), b"")
    made = bytearray(data[: first(file.name, data) + 4 + len(head)])
    for run in runs:
        entry = _READER.made("pagemap_entry")
        entry.vaddr, entry.compat_nr_pages = run.address, 0  # criu requires it and reads the other
        entry.flags, entry.nr_pages = run.flags, run.pages
        packed = entry.SerializeToString()
        made += struct.pack("<I", len(packed)) + packed
    return bytes(made)
