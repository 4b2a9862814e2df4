# SPDX-License-Identifier: MIT
"""Read processes and open files from a CRIU image, and edit some of its files (criu_protobuf)."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torqueckpt.checkpointers.base import ImageFacts
from torqueckpt.checkpointers.criu import made, needs
from torqueckpt.checkpointers.criu.mended import FILES
from torqueckpt.checkpointers.criu.protobuf import Reader, content
from torqueckpt.manifest import Needs, OpenFile, Process

_REGULAR = 1  # fd_types.REG
_STOPPED = 3  # COMPEL_TASK_STOPPED
_PROCESSES = 200_000  # of a job
_OPEN = 4_000_000  # no job has so many open files

_READER = Reader(
    {
        "pstree_entry": {"pid": (1, "uint32"), "ppid": (2, "uint32")},
        "task_core_entry": {
            "task_state": (1, "uint32"),
            "comm": (6, "bytes"),  # declared a string, but any bytes can be a name
        },
        "core_entry": {"tc": (3, "task_core_entry")},
        "task_kobj_ids_entry": {"files_id": (2, "uint32")},
        "fdinfo_entry": {"id": (1, "uint32"), "type": (3, "uint32"), "fd": (4, "uint32")},
        "reg_file_entry": {
            "id": (1, "uint32"),
            "flags": (2, "uint32"),
            "pos": (3, "uint64"),
            "name": (6, "bytes"),
            "size": (8, "uint64"),
            "mode": (10, "uint32"),
        },
        "fs_entry": {"cwd_id": (1, "uint32")},
        "unix_sk_entry": {
            "type": (3, "uint32"),
            "state": (4, "uint32"),
            "uflags": (6, "uint32"),
            "name": (11, "bytes"),
            "name_dir": (14, "bytes"),
            "deleted": (15, "bool"),
        },
        "file_entry": {
            "type": (1, "uint32"),
            "id": (2, "uint32"),
            "reg": (3, "reg_file_entry"),
            "usk": (16, "unix_sk_entry"),
        },
        "remap_file_path_entry": {
            "orig_id": (1, "uint32"),
            "remap_id": (2, "uint32"),
            "remap_type": (3, "uint32"),
        },
        "dump_stats_entry": {"frozen_time": (2, "uint32")},
        "stats_entry": {"dump": (1, "dump_stats_entry")},
    }
)


def read(image_dir: Path, work_dir: Path) -> ImageFacts:
    """Read processes, open regular files and frozen time; ValueError when a file is not CRIU's."""
    entries = list(_READER.messages(image_dir / FILES, "file_entry"))
    named = {entry.id: entry.reg for entry in entries if entry.type == _REGULAR}
    regular = {number: file for number, file in named.items() if _is_regular(file)}
    remaps = list(_READER.messages(image_dir / "remap-fpath.img", "remap_file_path_entry"))
    deleted = {entry.orig_id for entry in remaps}
    there = {number: file for number, file in named.items() if number not in deleted}
    processes = [
        Process(
            pid=entry.pid,
            ppid=entry.ppid,
            name=os.fsdecode(core.tc.comm) if core is not None else "zombie",
            cwd=_cwd(image_dir, entry.pid, there),
            stopped=core is not None and core.tc.task_state == _STOPPED,
        )
        for entry in _READER.messages(image_dir / "pstree.img", "pstree_entry", _PROCESSES)
        for core in [_core(image_dir, entry.pid)]
    ]
    files, looked_at, highest = [], 0, (-1, 0)
    mapped = dict(regular)
    for process in processes:
        for table in _READER.messages(image_dir / f"ids-{process.pid}.img", "task_kobj_ids_entry"):
            name = f"fdinfo-{table.files_id}.img"
            for opened in _READER.messages(image_dir / name, "fdinfo_entry"):
                looked_at += 1
                if looked_at > _OPEN:  # the owner may have had one table named again and again
                    raise ValueError(f"{name}: more than {_OPEN} open files")
                highest = max(highest, (opened.fd, process.pid))
                if opened.id in regular:
                    file = regular[opened.id]
                    mapped.pop(opened.id, None)
                    files.append(_open_file(process.pid, opened.fd, file, opened.id in deleted))
    root = processes[0].pid if processes else 0
    files += [_open_file(root, -1, file, number in deleted) for number, file in mapped.items()]
    bound = (entry.usk for entry in entries if entry.HasField("usk"))
    return ImageFacts(
        tuple(processes),
        tuple(files),
        frozen_us(work_dir),
        needs=Needs(*highest, needs.terminals(image_dir)),
        doubts=tuple(needs.doubts(image_dir, FILES)),
        made=made.find(image_dir, remaps, named, bound),
    )


def frozen_us(work_dir: Path) -> int:
    """How long the tree stood still for the dump, or pre-dump, that wrote to `work_dir`."""
    stats = next(_READER.messages(work_dir / "stats-dump", "stats_entry"), None)
    if stats is None:
        raise ValueError("stats-dump is missing or empty")
    frozen: int = stats.dump.frozen_time
    return frozen


def edited(image_dir: Path, name_now: Callable[[str], str], positions: Mapping[str, int]) -> bytes:
    """Write files.img anew, with files and directories under the names that they have now.

    positions: files, under those names, whose size CRIU shall not check → the offset at which the
    job goes on, negative for the recorded one.  What is not declared above is kept by protobuf.
    """
    entries = list(_READER.messages(image_dir / FILES, "file_entry"))
    for file in (entry.reg for entry in entries if entry.type == _REGULAR):
        name = name_now(os.fsdecode(file.name))
        file.name = os.fsencode(name)
        if name in positions:
            file.ClearField("size")
            file.pos = positions[name] if positions[name] >= 0 else file.pos
    head = content(image_dir / FILES)[:8]
    packed = [entry.SerializeToString() for entry in entries]
    return head + b"".join(struct.pack("<I", len(each)) + each for each in packed)


def _is_regular(file: Any) -> bool:
    """Whether a file entry is a regular file: CRIU lists directories and /dev/null there too."""
    return not file.HasField("mode") or stat.S_ISREG(file.mode)


def _open_file(pid: int, fd: int, file: Any, deleted: bool) -> OpenFile:
    return OpenFile(
        pid=pid,
        fd=fd,
        path=os.fsdecode(file.name),
        device=0,
        inode=0,
        flags=file.flags,
        offset=file.pos,
        # CRIU records no size for write-only append files: there the offset is where the last write
        # through this descriptor ended.
        size=file.size if file.HasField("size") else file.pos,
        mapped=False,
        deleted=deleted,
    )


def _core(image_dir: Path, pid: int) -> Any:
    return next(_READER.messages(image_dir / f"core-{pid}.img", "core_entry"), None)


def _cwd(image_dir: Path, pid: int, named: dict[int, Any]) -> str:
    """The working directory; "" for a zombie, and for a deleted one, which CRIU makes again."""
    entry = next(_READER.messages(image_dir / f"fs-{pid}.img", "fs_entry"), None)
    place = named.get(entry.cwd_id) if entry is not None else None
    return os.fsdecode(place.name) if place is not None else ""
