# SPDX-License-Identifier: MIT
"""Whether it can be told which pages of a process have changed (source: soft-dirty.rst)."""

from __future__ import annotations

import ctypes
import mmap
import struct

_SOFT_DIRTY = 1 << 55
_CLEAR = "4"  # clear_refs(5): forget which pages were written to


def dirty_ones_are_tracked() -> bool:
    """Write to a page of our own once the marks are cleared, and look for its mark."""
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
    """Whether the kernel writes into its memory when none of its threads is in a call, as for
    asynchronous reads (io_setup(2)): pages that are changed so are not marked."""
    try:
        with open(f"/proc/{pid}/maps", "rb") as file:
            return any(b" /[aio]" in line for line in file)
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return False
    except PermissionError:  # nobody knows
        return True


def _entry(page: mmap.mmap) -> int:
    view = ctypes.c_char.from_buffer(page)
    address = ctypes.addressof(view)
    del view  # or the page could not be given back
    with open("/proc/self/pagemap", "rb", buffering=0) as file:
        file.seek(address // mmap.PAGESIZE * 8)
        (entry,) = struct.unpack("Q", file.read(8))
    return int(entry)
