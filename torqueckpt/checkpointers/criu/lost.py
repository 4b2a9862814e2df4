# SPDX-License-Identifier: MIT
"""Find what CRIU dumps without a word and does not bring back (measured on 4.2.1)."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from torqueckpt.findings import HAZARD, NOTE, Finding
from torqueckpt.process import attributes
from torqueckpt.process.resources import LIBNUMA, Holdings, finding
from torqueckpt.process.sockets import protocol

_OF_LINKS = (b"\xe0\x00\x00", b"\xff\x01", b"\xff\x02")  # groups that every host is in


def findings(held: Holdings, library: Path) -> list[Finding]:
    """library: without it processes do not get back what only they can set."""
    return [*_multicast(held), *_ranges_of_memory(held), *_own_attributes(held, library)]


def _multicast(held: Holdings) -> Iterator[Finding]:
    """Find groups of this node, which of its sockets joined them the kernel does not tell."""
    for pid, fd in held.sockets.values():
        if not protocol(pid, fd).startswith("UDP"):
            continue
        for group in _groups():
            what = "if the job has joined this multicast group, it gets none of it after a restart"
            remedy = "have the program join it anew when nothing comes"
            yield finding(HAZARD, held.tree[pid], group, what, remedy)
        return


def _groups() -> list[str]:
    """Multicast groups that are joined here."""
    found = []
    for table, family in (("igmp", socket.AF_INET), ("igmp6", socket.AF_INET6)):
        try:
            lines = Path("/proc/net", table).read_text().splitlines()
        except OSError:
            continue
        for words in map(str.split, lines):
            if family == socket.AF_INET6:
                address = bytes.fromhex(words[2])
            elif re.fullmatch("[0-9A-F]{8}", words[0]):
                address = struct.pack("=I", int(words[0], 16))
            else:
                continue
            if not address.startswith(_OF_LINKS):
                found.append(socket.inet_ntop(family, address))
    return sorted(set(found))


def _ranges_of_memory(held: Holdings) -> Iterator[Finding]:
    """Find libnuma: to tell the policies of ranges the kernel would count all pages."""
    for each in held.mapped:
        if LIBNUMA in each.what:
            what = "policies of ranges (mbind, numa_alloc_…) do not come back, its processes' do"
            remedy = "have them set by numactl, for the whole program"
            yield finding(NOTE, held.tree[each.pid], "libnuma", what, remedy)
            return


def _own_attributes(held: Holdings, library: Path) -> Iterator[Finding]:
    """Find attributes that a restore gives back with a library alone; for where that is missing."""
    root = next(iter(held.tree.values()), None)
    if root is None or library.is_file():
        return
    for had in attributes.of_tree(list(held.tree.values()), root.ppid)[0]:
        what = f"its personality, timer slack or memory policy, and {library.name} is missing"
        remedy = "install a C compiler and run make install again"
        yield finding(HAZARD, held.tree[had.pid], "does not come back", what, remedy)
