# SPDX-License-Identifier: MIT
"""Measure how much memory of a tree an image holds, and whether changed pages are marked.

Source for the latter: Linux, Documentation/admin-guide/mm/soft-dirty.rst.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torqueckpt.process import proc

if TYPE_CHECKING:
    import mmap

_DUMPED = ("RssAnon", "VmSwap")  # each process's own pages; those of files are in the files

_SHARED = "RssShmem"  # dumped once, however many have it mapped

_BESIDE = 64 * 1024  # what else of a process is in an image: its files, signals, timers


_SOFT_DIRTY = 1 << 55

_CLEAR = "4"  # clear_refs(5): forget which pages were written to


def to_dump(tree: list[proc.Stat]) -> int:
    """Estimate the bytes that an image of the tree takes, by the kernel's counts as of now."""
    counts = [_counts(each.pid) for each in tree]
    own = sum(count.get(name, 0) for count in counts for name in _DUMPED)
    shared = max((count.get(_SHARED, 0) for count in counts), default=0)
    return own + shared + _BESIDE * len(counts)


def own(tree: list[proc.Stat]) -> int:
    """Estimate how many of these bytes no process shares with others."""
    return sum(_counts(each.pid).get(name, 0) for each in tree for name in _DUMPED)


def _counts(pid: int) -> dict[str, int]:
    """Name → bytes; empty for a process that has ended."""
    found = {}
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            for line in file:
                name, _, value = line.decode("ascii", "replace").partition(":")
                if name in (*_DUMPED, _SHARED):
                    found[name] = int(value.split()[0]) * 1024
    except (OSError, ProcessLookupError):
        return {}
    return found


def dirty_ones_are_tracked() -> bool:
    """Whether the kernel marks changed pages: write to a page of our own, and look for its mark."""
    import mmap  # a hook seldom asks, and would wait for its import

    with mmap.mmap(-1, mmap.PAGESIZE) as page:
        page[0] = 1
        try:
            with open("/proc/self/clear_refs", "w") as file:
                file.write(_CLEAR)
            before = _entry(page)
            page[0] = 2
            return not before & _SOFT_DIRTY and bool(_entry(page) & _SOFT_DIRTY)
        except OSError:  # a kernel that was built without
            return False


def written_unseen(pid: int) -> bool:
    """Whether the kernel may write to a process's memory without marking the pages as changed.

    It does so for asynchronous reads (io_setup(2)).
    """
    try:
        with open(f"/proc/{pid}/maps", "rb") as file:
            return any(b" /[aio]" in line for line in file)
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return False
    except PermissionError:  # nobody knows
        return True


def _entry(page: mmap.mmap) -> int:
    import ctypes
    import struct

    view = ctypes.c_char.from_buffer(page)
    address, page_bytes = ctypes.addressof(view), len(page)
    del view  # or the page could not be given back
    with open("/proc/self/pagemap", "rb", buffering=0) as file:
        file.seek(address // page_bytes * 8)
        (entry,) = struct.unpack("Q", file.read(8))
    return int(entry)
