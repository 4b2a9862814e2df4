# SPDX-License-Identifier: MIT
"""Read from a CRIU image, for `torqueckpt show`: memory, sockets, environment, processor.

For people to look at, by `torqueckpt show`; nothing is decided by it.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

from torqueckpt.checkpointers.base import ImageDetails, Memory, Opened
from torqueckpt.checkpointers.criu import pagemap as pagemaps
from torqueckpt.checkpointers.criu.protobuf import Reader
from torqueckpt.manifest import PACKED

_LONGEST_ENVIRONMENT = 1 << 20
_LARGEST_FILE = 1 << 60
_REGULAR = 1
_KINDS = {  # fd_types of CRIU's fdinfo.proto; a regular file is the manifest's
    **{2: "pipe", 3: "FIFO", 4: "socket", 5: "UNIX socket", 6: "eventfd", 7: "epoll"},
    **{8: "inotify", 9: "signalfd", 10: "packet socket", 11: "terminal", 12: "fanotify"},
    **{13: "netlink socket", 14: "namespace", 15: "tunnel", 16: "external file", 17: "timerfd"},
    **{18: "memfd", 19: "BPF map", 20: "pidfd"},
}
_TYPES = {1: "stream", 2: "datagram", 3: "raw", 5: "seqpacket"}
_PROTOCOLS = {6: "TCP", 17: "UDP", 136: "UDP-Lite"}
_STATES = {1: "established", 7: "", 10: "listens"}  # 7 is closed: UDP without a peer
# Status bits of a mapping, in CRIU's image.h.
_VDSO, _SYSV, _FILE, _SHARED, _MEMFD, _VVAR = 1 << 3, 1 << 10, 3 << 6, 1 << 8, 1 << 14, 1 << 12

_READER = Reader(
    {
        "pstree_entry": {"pid": (1, "uint32")},
        "task_kobj_ids_entry": {"files_id": (2, "uint32")},
        "fdinfo_entry": {"id": (1, "uint32"), "type": (3, "uint32"), "fd": (4, "uint32")},
        "reg_file_entry": {"name": (6, "bytes")},
        "inet_sk_entry": {
            "family": (3, "uint32"),
            "proto": (5, "uint32"),
            "state": (6, "uint32"),
            "src_port": (7, "uint32"),
            "dst_port": (8, "uint32"),
            "src_addr": (11, "uint32[]"),
            "dst_addr": (12, "uint32[]"),
        },
        "unix_sk_entry": {
            "type": (3, "uint32"),
            "state": (4, "uint32"),
            "peer": (8, "uint32"),
            "name": (11, "bytes"),
        },
        "file_entry": {
            "type": (1, "uint32"),
            "id": (2, "uint32"),
            "reg": (3, "reg_file_entry"),
            "isk": (4, "inet_sk_entry"),
            "usk": (16, "unix_sk_entry"),
        },
        "vma_entry": {
            "start": (1, "uint64"),
            "end": (2, "uint64"),
            "shmid": (4, "uint64"),
            "status": (7, "uint32"),
        },
        "mm_entry": {
            "start_stack": (5, "uint64"),
            "start_brk": (6, "uint64"),
            "brk": (7, "uint64"),
            "env_start": (10, "uint64"),
            "env_end": (11, "uint64"),
            "vmas": (14, "vma_entry[]"),
        },
        "user_x86_xsave_entry": {"xstate_bv": (1, "uint64")},
        "user_x86_fpregs_entry": {"xsave": (13, "user_x86_xsave_entry")},
        "thread_info_x86": {"fpregs": (3, "user_x86_fpregs_entry")},
        "core_entry": {"thread_info": (2, "thread_info_x86")},
    }
)
# What registers may hold beyond the usual; bits of XSAVE's state.
_XFEATURES = {2: "AVX", 5: "AVX-512", 6: "AVX-512", 7: "AVX-512", 9: "PKU", 18: "AMX"}

_Area = tuple[int, int, int]  # address, bytes, where in the pages file


def read(image_dir: Path, root_pid: int, with_environment: bool) -> ImageDetails:
    """Read all details of an image; ValueError when a file is not CRIU's."""
    files = {entry.id: entry for entry in _READER.messages(image_dir / "files.img", "file_entry")}
    memory: list[Memory] = []
    opened: list[Opened] = []
    environment: tuple[str, ...] = ()
    pids = [each.pid for each in _READER.messages(image_dir / "pstree.img", "pstree_entry")]
    for pid in pids:
        opened += _opened(image_dir, pid, files)
        space = next(_READER.messages(image_dir / f"mm-{pid}.img", "mm_entry"), None)
        if space is None:  # a zombie
            continue
        pages, areas = _pages(image_dir / f"pagemap-{pid}.img")
        memory += _memory(image_dir, pid, space, areas, files)
        if pid == root_pid and with_environment:
            environment = _environment(image_dir / f"pages-{pages}.img", space, areas)
    return ImageDetails(_cpu(image_dir, pids), tuple(memory), tuple(opened), environment)


def _opened(image_dir: Path, pid: int, files: dict[int, Any]) -> Iterator[Opened]:
    for table in _READER.messages(image_dir / f"ids-{pid}.img", "task_kobj_ids_entry"):
        name = f"fdinfo-{table.files_id}.img"
        for each in _READER.messages(image_dir / name, "fdinfo_entry"):
            file = files.get(each.id)
            if each.type == _REGULAR or file is None:
                continue
            kind, what = _KINDS.get(each.type, f"descriptor of type {each.type}"), ""
            if file.HasField("isk"):
                kind = f"{_PROTOCOLS.get(file.isk.proto, 'IP')} {kind}"
                what = _inet(file.isk)
            elif file.HasField("usk"):
                what = _unix(file.usk)
            yield Opened(pid, each.fd, kind, what)


def _inet(each: Any) -> str:
    here = _address(each.family, each.src_addr, each.src_port)
    there = _address(each.family, each.dst_addr, each.dst_port)
    state = _STATES.get(each.state, f"state {each.state}")
    to = f" to {there}" if each.dst_port else ""
    return f"{here}{to} {state}".strip()


def _address(family: int, words: list[int], port: int) -> str:
    """Decode an address, which CRIU keeps as the machine's words in the network's byte order."""
    packed = b"".join(struct.pack("=I", word) for word in words)
    try:
        if family == socket.AF_INET6:
            return f"[{ipaddress.IPv6Address(packed[:16])}]:{port}"
        return f"{ipaddress.IPv4Address(packed[:4])}:{port}"
    except ValueError as short:
        raise ValueError(f"files.img: an address of {len(packed)} bytes") from short


def _unix(each: Any) -> str:
    name = os.fsdecode(each.name.rstrip(b"\0").replace(b"\0", b"@"))
    state = _STATES.get(each.state, "") or ("connected" if each.peer else "")
    return " ".join(filter(None, (_TYPES.get(each.type, ""), name, state)))


def _memory(
    image_dir: Path, pid: int, space: Any, areas: list[_Area], files: dict[int, Any]
) -> Iterator[Memory]:
    """Add up mappings that have one name: a library has five."""
    sizes: dict[str, int] = defaultdict(int)
    saved: dict[str, int] = defaultdict(int)
    held = _Held(areas)
    for vma in space.vmas:
        name = _name(vma, space, files)
        sizes[name] += max(vma.end - vma.start, 0)
        if not vma.status & _SHARED:
            saved[name] += held.between(vma.start, vma.end)
    shared = {vma.shmid: _name(vma, space, files) for vma in space.vmas if vma.status & _SHARED}
    for number, name in shared.items():
        _, held_of_it = _pages(image_dir / f"pagemap-shmem-{number}.img")
        saved[name] += sum(size for _, size, _ in held_of_it)
    yield from (Memory(pid, name, size, saved[name]) for name, size in sizes.items())


class _Held:
    """Tells how much of an address range an image holds, without going through all areas."""

    def __init__(self, areas: list[_Area]) -> None:
        ordered = sorted((at, size) for at, size, _ in areas)
        self._starts = [at for at, _ in ordered]
        self._sizes = [size for _, size in ordered]
        self._before = [0, *accumulate(self._sizes)]

    def between(self, start: int, end: int) -> int:
        return max(self._below(end) - self._below(start), 0)

    def _below(self, address: int) -> int:
        n = bisect_right(self._starts, address)
        if n == 0:
            return 0
        return self._before[n - 1] + min(address - self._starts[n - 1], self._sizes[n - 1])


def _name(vma: Any, space: Any, files: dict[int, Any]) -> str:
    if vma.status & (_VDSO | _VVAR):
        return "(the kernel's)"
    if vma.status & _SYSV:
        return "(SysV shared memory)"
    if vma.status & _MEMFD:
        return "(memfd)"
    if vma.status & _FILE and vma.shmid in files:
        return os.fsdecode(files[vma.shmid].reg.name)
    if vma.status & _SHARED:
        return "(shared)"
    if vma.start <= space.start_stack < vma.end:
        return "(stack)"
    if space.start_brk < vma.end and vma.start < space.brk:
        return "(heap)"
    return "(anonymous)"


def _pages(pagemap: Path) -> tuple[int, list[_Area]]:
    """Read a page map: the number of its pages file, and the memory that is in it, in its order."""
    number, runs = pagemaps.read(pagemap)
    areas, offset = [], 0
    for run in runs:
        if run.present:
            areas.append((run.address, run.size, offset))
            offset += run.size
    return number, areas


def _environment(pages: Path, space: Any, areas: list[_Area]) -> tuple[str, ...]:
    """Read the environment from the process's memory: a program may have written over it."""
    start, end = space.env_start, min(space.env_end, space.env_start + _LONGEST_ENVIRONMENT)
    wanted = []
    for at, size, offset in areas:
        first, last = max(start, at), min(end, at + size)
        if first < last:
            if offset + first - at > _LARGEST_FILE:
                raise ValueError(f"{pages.name} has no such page")
            wanted.append((offset + first - at, last - first))
    text = b""
    for part in _parts(pages, wanted):
        text += part
        if len(text) >= _LONGEST_ENVIRONMENT:
            break
    return tuple(os.fsdecode(each) for each in text.split(b"\0") if b"=" in each)


def _parts(pages: Path, wanted: list[tuple[int, int]]) -> Iterator[bytes]:
    """Read (offset, length) parts of a pages file, compressed or not; none when it is missing."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    packed = pages.with_name(f"{pages.name}{PACKED}")
    try:
        fd = os.open(packed if packed.exists() else pages, flags)
    except FileNotFoundError:
        return
    with open(fd, "rb") as file:
        if packed.exists():
            from torqueckpt import compression

            yield from compression.parts(fd, wanted)
            return
        for offset, length in wanted:
            file.seek(offset)
            yield file.read(length)


def _cpu(image_dir: Path, pids: list[int]) -> str:
    """Name the register sets in use that not every processor has, as in "AVX AVX-512".

    The processes can only go on where the processor has them.
    """
    used = 0
    for pid in pids:
        core = next(_READER.messages(image_dir / f"core-{pid}.img", "core_entry"), None)
        used |= core.thread_info.fpregs.xsave.xstate_bv if core is not None else 0
    return " ".join(dict.fromkeys(name for bit, name in _XFEATURES.items() if used >> bit & 1))
