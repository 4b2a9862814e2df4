# SPDX-License-Identifier: MIT
"""How much memory of a tree an image has to hold."""

from __future__ import annotations

from torqueckpt.process import proc

_DUMPED = ("RssAnon", "VmSwap")  # each process's own pages; those of files are in the files
_SHARED = "RssShmem"  # dumped once, however many have it mapped
_BESIDE = 64 * 1024  # what else of a process is in an image: its files, signals, timers


def to_dump(tree: list[proc.Stat]) -> int:
    """Bytes that an image of the tree takes, about; the kernel's counts as of now."""
    counts = [_counts(each.pid) for each in tree]
    own = sum(count.get(name, 0) for count in counts for name in _DUMPED)
    shared = max((count.get(_SHARED, 0) for count in counts), default=0)
    return own + shared + _BESIDE * len(counts)


def own(tree: list[proc.Stat]) -> int:
    """Bytes of that, about, which no process shares with others."""
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
