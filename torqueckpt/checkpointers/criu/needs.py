# SPDX-License-Identifier: MIT
"""Tell from a CRIU image what its restore will need of its node, beside files: images.py reads it.

Terminals are pseudo terminals, by the number N of /dev/pts/N.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

from torqueckpt.checkpointers.criu.protobuf import Reader, content, first, raw_messages

TERMINALS = "tty-info.img"
_A_PROCESS, _A_GROUP = 1, 2  # F_OWNER_PID, F_OWNER_PGRP
# Who gets a descriptor's signals (F_SETOWN), in the messages of fdinfo.proto that have it.
_OWNER_AT = {
    "reg": (3, 5),
    "isk": (4, 13),
    "efd": (8, 3),
    "epfd": (9, 3),
    "sgfd": (10, 3),
    "tfd": (12, 3),
    "usk": (16, 9),
    "pipe": (18, 4),
    "tty": (19, 4),
    "memfd": (20, 4),
}
_READER = Reader(
    {
        "fown_entry": {"pid_type": (4, "uint32"), "pid": (5, "uint32")},
        **{f"{kind}_of": {"fown": (at, "fown_entry")} for kind, (_, at) in _OWNER_AT.items()},
        "file_entry": {kind: (at, f"{kind}_of") for kind, (at, _) in _OWNER_AT.items()},
        "tty_pty_entry": {"index": (1, "uint32")},
        "tty_info_entry": {"pty": (12, "tty_pty_entry")},
        "pstree_entry": {"pid": (1, "uint32"), "pgid": (3, "uint32")},
    }
)


def terminals(image_dir: Path) -> tuple[int, ...]:
    """The numbers of the image's pseudo terminals."""
    entries = _READER.messages(image_dir / TERMINALS, "tty_info_entry")
    return tuple(sorted({each.pty.index for each in entries if each.HasField("pty")}))


def with_terminals(image_dir: Path, now: Mapping[int, int]) -> bytes:
    """The image's list of terminals, with other numbers: those of `now`, by the recorded ones."""
    data = content(image_dir / TERMINALS)
    written = data[: first(TERMINALS, data)]
    for raw in raw_messages(TERMINALS, data):
        entry = _READER.message(TERMINALS, "tty_info_entry", raw)
        if entry.HasField("pty"):
            entry.pty.index = now.get(entry.pty.index, entry.pty.index)
        raw = entry.SerializeToString()  # with the fields that are not declared here
        written += struct.pack("<I", len(raw)) + raw
    return written


def doubts(image_dir: Path, files: str) -> Iterator[str]:
    """Why a restore would fail for all that is known now: signals that go to processes outside."""
    outside: dict[int, str] = {}
    known: dict[int, set[int]] = {}
    for entry in _READER.messages(image_dir / files, "file_entry"):
        for kind in _OWNER_AT:
            owner = getattr(entry, kind).fown
            if owner.pid:
                known = known or _processes(image_dir)
                if owner.pid not in known.get(owner.pid_type, {owner.pid}):
                    what = "group" if owner.pid_type == _A_GROUP else "process"
                    outside[owner.pid] = what
    for number, what in outside.items():
        yield f"a descriptor's signals go to {what} {number}, outside of the job (F_SETOWN)"


def _processes(image_dir: Path) -> dict[int, set[int]]:
    """The job's numbers of processes and of their groups."""
    entries = list(_READER.messages(image_dir / "pstree.img", "pstree_entry"))
    return {
        _A_PROCESS: {each.pid for each in entries},
        _A_GROUP: {each.pgid for each in entries},
    }
